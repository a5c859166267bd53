import { COUNTED_ITEMS_MAX } from "@timespan/telemetry/api/list-answer";
import type { Position } from "@timespan/telemetry/cursor";
import type { Database } from "../database.ts";
import { type Fragment, where } from "./filters.ts";
import { timeParameter } from "./parameters.ts";

/** Which part of a list is wanted: a page by its number, or what follows a position. */
export type PageRequest = { size: number } & (
  | { page: number }
  | { after: Position /** Counted when the list was first asked for. */; total: number }
);

/** A label that a row must carry with exactly this value; numbers and truth values by their JSON text. */
export interface LabelFilter {
  key: string;
  value: string;
}

export interface ListPage<Item> {
  items: Item[];
  /** How many match, at most {@link COUNTED_ITEMS_MAX}. */
  total: number;
  totalIsExact: boolean;
  /** The last item's, where more follow; otherwise null. */
  next: Position | null;
}

/** What a list is made of. */
export interface List {
  /** The table, whose rows say by their `source_*` columns which Kafka record they came from. */
  from: Fragment;
  /** The select list that makes an item of a row. */
  columns: Fragment;
  time: Fragment;
  /** Absent for what has none. */
  duration?: Fragment;
  matching: readonly Fragment[];
  /** Whether most rows match, so that a page by time is full after few of them. */
  dense?: boolean;
  /**
   * The duration that so many of the longest rows of the list have at least, as far as is known: read first, as it
   * leaves out nearly all others. Absent or null where nothing is known.
   */
  longestAtLeastUs?: ((rowCount: number, belowUs: number | null) => Promise<number | null>) | undefined;
  order: { by: "time" | "duration"; descending: boolean };
}

/** The place of a row as the database gives it: `bigint` arrives as text. */
type PositionRow = {
  position: [time: string, duration: string, sourceId: string, sourceOffset: string, sourceIndex: string];
};

/**
 * One page of a list, in an order in which no two rows are equal.
 * @throws the driver's error where the database is away or a statement ran into its limit
 */
export async function readPage<Item>(
  sql: Database,
  list: List,
  request: PageRequest,
): Promise<ListPage<Item>> {
  const longest = await readLongest<Item>(sql, list, request);
  const rows = longest.length > request.size ? longest : await readRows<Item>(sql, list, request, []);
  const shown = rows.slice(0, request.size);
  const more = rows.length > request.size;
  const last = shown.at(-1);
  const total = await totalOf(request, shown.length, more, () => count(sql, list));
  return {
    items: shown.map(({ position: _, ...item }) => item as Item),
    total: Math.min(total, COUNTED_ITEMS_MAX),
    totalIsExact: total <= COUNTED_ITEMS_MAX,
    next: more && last !== undefined ? readPosition(last) : null,
  };
}

/** The rows of a page by duration, the longest first, from among the longest alone; too few where that is not known. */
async function readLongest<Item>(
  sql: Database,
  list: List,
  request: PageRequest,
): Promise<readonly (Item & PositionRow)[]> {
  const { duration, order, longestAtLeastUs } = list;
  if (duration === undefined || order.by !== "duration" || !order.descending) return [];
  const rowCount = offsetOf(request) + request.size + 1;
  const belowUs = "after" in request ? request.after.durationUs : null;
  const atLeastUs = (await longestAtLeastUs?.(rowCount, belowUs)) ?? null;
  return atLeastUs === null ? [] : readRows<Item>(sql, list, request, [sql`${duration} >= ${atLeastUs}`]);
}

function offsetOf(request: PageRequest): number {
  return "page" in request ? (request.page - 1) * request.size : 0;
}

/** The rows of the page, and one more where there is one. */
async function readRows<Item>(
  sql: Database,
  list: List,
  request: PageRequest,
  among: readonly Fragment[],
): Promise<readonly (Item & PositionRow)[]> {
  const { from, columns, time, duration, matching } = list;
  const following = "after" in request ? after(sql, list, request.after) : [];
  const orderBy = order(sql, list);
  const conditions = [...matching, ...among, ...following];
  // The page is cut out first: only its rows are put into words, not every row that is sorted.
  return sql<(Item & PositionRow)[]>`
SELECT ${columns},
  ARRAY[(extract(epoch FROM ${time}) * 1000000)::bigint, ${duration ?? sql`0`}, source_id, source_offset, source_index] AS position
FROM (
  SELECT * FROM ${from}
  ${where(sql, [...conditions, ...reach(sql, list, request, conditions)])}
  ORDER BY ${orderBy}
  LIMIT ${request.size + 1}
  OFFSET ${offsetOf(request)}
) AS page
ORDER BY ${orderBy}`;
}

/**
 * How far a page by time reaches. Indexes and the columnstore are ordered by time alone; without knowing the last time
 * of the page, all rows of a chunk would be read whole and sorted by the other keys too.
 */
function reach(sql: Database, list: List, request: PageRequest, conditions: readonly Fragment[]): Fragment[] {
  const { from, time, order, dense = false } = list;
  if (!dense || order.by !== "time") return [];
  const last = sql`
    SELECT ${time} FROM ${from}
    ${where(sql, [...conditions])}
    ORDER BY ${time}${order.descending ? sql` DESC` : sql``}
    LIMIT 1
    OFFSET ${offsetOf(request) + request.size}`;
  return [
    order.descending
      ? sql`${time} >= coalesce((${last}), '-infinity')`
      : sql`${time} <= coalesce((${last}), 'infinity')`,
  ];
}

/** Up to one more than {@link COUNTED_ITEMS_MAX}. */
async function count(sql: Database, { from, matching }: List): Promise<number> {
  const [row] = await sql<{ counted: number }[]>`
SELECT count(*)::integer AS counted
FROM (
  SELECT FROM ${from}
  ${where(sql, [...matching])}
  LIMIT ${COUNTED_ITEMS_MAX + 1}
) AS matching`;
  return row?.counted ?? 0;
}

function order(sql: Database, { time, duration, order: { by, descending } }: List): Fragment {
  const direction = descending ? sql` DESC` : sql``;
  const first = by === "duration" && duration !== undefined ? sql`${duration}${direction}, ` : sql``;
  return sql`${first}${time}${direction}, source_id${direction}, source_offset${direction}, source_index${direction}`;
}

/**
 * What comes after `at`. The bound on the first key is implied by the row comparison, but only said alone does it
 * exclude partitions and chunks.
 */
function after(sql: Database, { time, duration, order: { by, descending } }: List, at: Position): Fragment[] {
  const beyond = descending ? sql`<` : sql`>`;
  const atTime = timeParameter(sql, at.timeUs);
  const source = sql`${at.sourceId}::smallint, ${at.sourceOffset}::bigint, ${at.sourceIndex}::integer`;
  if (by === "duration" && duration !== undefined) {
    return [
      sql`${duration} ${beyond}= ${at.durationUs}`,
      sql`(${duration}, ${time}, source_id, source_offset, source_index) ${beyond} (${at.durationUs}::bigint, ${atTime}, ${source})`,
    ];
  }
  return [
    sql`${time} ${beyond}= ${atTime}`,
    sql`(${time}, source_id, source_offset, source_index) ${beyond} (${atTime}, ${source})`,
  ];
}

async function totalOf(
  request: PageRequest,
  shown: number,
  more: boolean,
  count: () => Promise<number>,
): Promise<number> {
  if ("after" in request) return request.total;
  const before = (request.page - 1) * request.size;
  // The last page that holds anything says it all; an empty one after it does not.
  if (!more && (shown > 0 || before === 0)) return before + shown;
  return count();
}

function readPosition({ position }: PositionRow): Position {
  const [time, duration, sourceId, sourceOffset, sourceIndex] = position;
  return {
    timeUs: Number(time),
    durationUs: Number(duration),
    sourceId: Number(sourceId),
    sourceOffset: Number(sourceOffset),
    sourceIndex: Number(sourceIndex),
  };
}
