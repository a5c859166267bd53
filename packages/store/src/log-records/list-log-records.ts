import type { Access } from "@timespan/telemetry/access";
import { COUNTED_ITEMS_MAX } from "@timespan/telemetry/api/list-answer";
import type { LogItem, LogSort } from "@timespan/telemetry/api/log-item";
import type { Position } from "@timespan/telemetry/cursor";
import { type LogLevel, SEVERITY_RANGE } from "@timespan/telemetry/severity";
import type { TimeRange } from "@timespan/telemetry/time-range";
import type { Database } from "../database.ts";
import { type Fragment, given, where } from "../query/filters.ts";
import { logItemColumns } from "../query/item-columns.ts";
import {
  buildPage,
  type LabelFilter,
  type ListPage,
  type PageRequest,
  type PositionRow,
} from "../query/page.ts";
import { escapeLike, spanIdParameter, timeParameter } from "../query/parameters.ts";
import { visibleRows } from "../query/visible-rows.ts";

/** What a log record must match; what is absent does not matter. Ids are canonical hex. */
export interface LogFilter {
  range: TimeRange;
  serviceName?: string | undefined;
  environment?: string | undefined;
  level?: LogLevel | undefined;
  /** This level or a more severe one. */
  minLevel?: LogLevel | undefined;
  traceId?: string | undefined;
  spanId?: string | undefined;
  /** Contained in the message, letter by letter. */
  message?: string | undefined;
  labels?: readonly LabelFilter[];
}

/**
 * The log records that match and may be seen, by time, in an order in which no two are equal, one page of them.
 * @throws the driver's error where the database is away or the statement ran into its limit
 */
export async function listLogRecords(
  database: Database,
  access: Access,
  filter: LogFilter,
  sort: LogSort,
  request: PageRequest,
): Promise<ListPage<LogItem>> {
  const order = logOrder(database, sort);
  const matching = [...visibleRows(database, access), ...logConditions(database, filter)];
  // The page is cut out first: only its rows are put into words, not every row that is sorted.
  const rows = await database<(LogItem & PositionRow)[]>`
SELECT ${logItemColumns(database)},
  ARRAY[(extract(epoch FROM time) * 1000000)::bigint, 0, source_id, source_offset, source_index] AS position
FROM (
  SELECT * FROM timespan.log_records
  ${where(database, matching, "after" in request ? order.after(request.after) : [])}
  ORDER BY ${order.by}
  LIMIT ${request.size + 1}
  OFFSET ${"page" in request ? (request.page - 1) * request.size : 0}
) AS page
ORDER BY ${order.by}`;
  return buildPage(request, rows, () => countLogRecords(database, matching));
}

async function countLogRecords(database: Database, matching: Fragment[]): Promise<number> {
  const [row] = await database<{ counted: number }[]>`
SELECT count(*)::integer AS counted
FROM (
  SELECT FROM timespan.log_records
  ${where(database, matching)}
  LIMIT ${COUNTED_ITEMS_MAX + 1}
) AS matching`;
  return row?.counted ?? 0;
}

function logConditions(sql: Database, filter: LogFilter): Fragment[] {
  return [
    given(filter.serviceName, (name) => sql`service_name = ${name}`),
    given(filter.range.fromUs, (fromUs) => sql`time >= ${timeParameter(sql, fromUs)}`),
    given(filter.range.toUs, (toUs) => sql`time < ${timeParameter(sql, toUs)}`),
    given(filter.traceId, (id) => sql`trace_id = ${id}::uuid`),
    given(filter.spanId, (id) => sql`span_id = ${spanIdParameter(sql, id)}`),
    given(filter.environment, (name) => sql`environment = ${name}`),
    given(
      filter.level,
      (level) => sql`severity_number BETWEEN ${SEVERITY_RANGE[level].min} AND ${SEVERITY_RANGE[level].max}`,
    ),
    given(filter.minLevel, (level) => sql`severity_number >= ${SEVERITY_RANGE[level].min}`),
    given(filter.message, (text) => sql`body LIKE ${`%${escapeLike(text)}%`}`),
    ...(filter.labels ?? []).map(({ key, value }) => [sql`attributes ->> ${key} = ${value}`]),
  ].flat();
}

interface Order {
  by: Fragment;
  after(position: Position): Fragment[];
}

/**
 * The bound on the time is implied by the row comparison, but only said alone does it exclude partitions and chunks.
 */
function logOrder(sql: Database, sort: LogSort): Order {
  const time = ({ timeUs }: Position) => timeParameter(sql, timeUs);
  const source = ({ sourceId, sourceOffset, sourceIndex }: Position) =>
    sql`${sourceId}::smallint, ${sourceOffset}::bigint, ${sourceIndex}::integer`;
  switch (sort) {
    case "desc":
      return {
        by: sql`time DESC, source_id DESC, source_offset DESC, source_index DESC`,
        after: (at) => [
          sql`time <= ${time(at)}`,
          sql`(time, source_id, source_offset, source_index) < (${time(at)}, ${source(at)})`,
        ],
      };
    case "asc":
      return {
        by: sql`time, source_id, source_offset, source_index`,
        after: (at) => [
          sql`time >= ${time(at)}`,
          sql`(time, source_id, source_offset, source_index) > (${time(at)}, ${source(at)})`,
        ],
      };
  }
}
