import { COUNTED_ITEMS_MAX } from "@timespan/telemetry/api/list-answer";
import type { Position } from "@timespan/telemetry/cursor";

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

/** The place of a row as the database gives it: `bigint` arrives as text. */
export type PositionRow = {
  position: [time: string, duration: string, sourceId: string, sourceOffset: string, sourceIndex: string];
};

/**
 * Builds the page from its rows, of which one more than `request.size` was asked for. `count` is called only where
 * the rows themselves do not tell the total; it must count up to one more than {@link COUNTED_ITEMS_MAX}.
 */
export async function buildPage<Item>(
  request: PageRequest,
  rows: readonly (Item & PositionRow)[],
  count: () => Promise<number>,
): Promise<ListPage<Omit<Item, "position">>> {
  const shown = rows.slice(0, request.size);
  const more = rows.length > request.size;
  const last = shown.at(-1);
  const total = await totalOf(request, shown.length, more, count);
  return {
    items: shown.map(({ position: _, ...item }) => item),
    total: Math.min(total, COUNTED_ITEMS_MAX),
    totalIsExact: total <= COUNTED_ITEMS_MAX,
    next: more && last !== undefined ? readPosition(last) : null,
  };
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
