import type { Access } from "@timespan/telemetry/access";
import type { LogItem, LogSort } from "@timespan/telemetry/api/log-item";
import { type LogLevel, SEVERITY_RANGE } from "@timespan/telemetry/severity";
import type { TimeRange } from "@timespan/telemetry/time-range";
import type { Database } from "../database.ts";
import { type Fragment, given } from "../query/filters.ts";
import { logItemColumns } from "../query/item-columns.ts";
import { type LabelFilter, type ListPage, type PageRequest, readPage } from "../query/page.ts";
import { escapeLike, spanIdParameter, timeParameter } from "../query/parameters.ts";
import { visibleRows } from "../query/visible-rows.ts";
import { patternsOfMessage } from "./patterns-of-message.ts";

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
  const patterns =
    filter.message === undefined
      ? undefined
      : await patternsOfMessage(database, filter.message, filter.range);
  return readPage(
    database,
    {
      from: database`timespan.log_records`,
      columns: logItemColumns(database),
      time: database`time`,
      matching: [
        ...visibleRows(database, access),
        ...given(patterns, (ids) => database`pattern_id = ANY (${ids}::bigint[])`),
        ...logConditions(database, filter),
      ],
      dense: isDense(filter),
      order: { by: "time", descending: sort === "desc" },
    },
    request,
  );
}

/** Whether nothing is asked for that few log records may have. */
function isDense({ level, minLevel, traceId, spanId, message, labels = [] }: LogFilter): boolean {
  return (
    labels.length === 0 && [level, minLevel, traceId, spanId, message].every((value) => value === undefined)
  );
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
