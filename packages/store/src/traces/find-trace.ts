import type { Access } from "@timespan/telemetry/access";
import type { LogItem } from "@timespan/telemetry/api/log-item";
import type { SpanItem } from "@timespan/telemetry/api/span-item";
import type { TraceAnswer } from "@timespan/telemetry/api/trace-answer";
import type { TimeUs } from "@timespan/telemetry/timestamp";
import type { Database } from "../database.ts";
import { type Fragment, given, where } from "../query/filters.ts";
import { logItemColumns, spanItemColumns } from "../query/item-columns.ts";
import { timeParameter } from "../query/parameters.ts";
import { visibleRows } from "../query/visible-rows.ts";
import { summarizeTrace } from "./summarize-trace.ts";

/** A trace beyond these is cut, and says so: no screen shows more, and some programs never end their traces. */
export const TRACE_SPANS_MAX = 10_000;
export const TRACE_LOGS_MAX = 10_000;

/** Which part of the trace to show. Its summary is of the whole that the caller may see. */
export interface TraceFilter {
  serviceName?: string | undefined;
  environment?: string | undefined;
}

/**
 * The trace `traceId` (32 hex digits): its spans and logs, oldest first. A span that a producer sent more than once
 * is shown once; two spans of one id that differ are two. `undefined` where nothing of the trace is stored that the
 * caller may see.
 * @throws the driver's error where the database is away or a statement ran into its limit
 */
export async function findTrace(
  database: Database,
  access: Access,
  traceId: string,
  filter: TraceFilter = {},
): Promise<TraceAnswer | undefined> {
  const location = await locateTrace(database, traceId);
  if (location === undefined) return undefined;
  const visible = [database`trace_id = ${traceId}::uuid`, ...visibleRows(database, access)];
  const asked = [
    given(filter.serviceName, (name) => database`service_name = ${name}`),
    given(filter.environment, (name) => database`environment = ${name}`),
  ].flat();
  const [whole, shown, logs] = await Promise.all([
    readSpans(database, location, visible),
    asked.length > 0 ? readSpans(database, location, [...visible, ...asked]) : undefined,
    readLogs(database, location, [...visible, ...asked]),
  ]);
  if (whole.items.length === 0 && logs.items.length === 0) return undefined;
  const spans = shown ?? whole;
  return {
    trace_id: traceId,
    summary: summarizeTrace(whole.items, !whole.truncated),
    spans: spans.items,
    spans_truncated: spans.truncated,
    logs: logs.items,
    logs_truncated: logs.truncated,
  };
}

/** When a trace happened: its rows lie in few chunks, and only a time that the planner knows leaves out the others. */
interface Location {
  firstUs: TimeUs;
  lastUs: TimeUs;
}

async function locateTrace(database: Database, traceId: string): Promise<Location | undefined> {
  const [row] = await database<{ first_us: TimeUs | null; last_us: TimeUs | null }[]>`
SELECT (extract(epoch FROM min(first_time)) * 1000000)::double precision AS first_us,
  (extract(epoch FROM max(last_time)) * 1000000)::double precision AS last_us
FROM timespan.trace_locator
WHERE trace_id = ${traceId}::uuid`;
  return row === undefined || row.first_us === null || row.last_us === null
    ? undefined
    : { firstUs: row.first_us, lastUs: row.last_us };
}

function happened(sql: Database, time: Fragment, { firstUs, lastUs }: Location): Fragment {
  return sql`${time} >= ${timeParameter(sql, firstUs)} AND ${time} <= ${timeParameter(sql, lastUs)}`;
}

async function readSpans(
  sql: Database,
  location: Location,
  conditions: readonly Fragment[],
): Promise<{ items: SpanItem[]; truncated: boolean }> {
  const during = happened(sql, sql`start_time`, location);
  const rows = await sql<SpanItem[]>`
SELECT ${spanItemColumns(sql)}
FROM timespan.spans
${where(sql, [...conditions, during])}
ORDER BY start_time, source_id, source_offset, source_index
LIMIT ${TRACE_SPANS_MAX + 1}`;
  return {
    items: distinctSpans(rows.slice(0, TRACE_SPANS_MAX)),
    truncated: rows.length > TRACE_SPANS_MAX,
  };
}

/** Producers repeat what they are not sure of; the offsets keep only what Kafka itself delivers twice from counting. */
function distinctSpans(spans: readonly SpanItem[]): SpanItem[] {
  const seen = new Set<string>();
  return spans.filter(({ span_id, service_name, kind, timestamp, duration_ms }) => {
    const identity = JSON.stringify([span_id, service_name, kind, timestamp, duration_ms]);
    if (seen.has(identity)) return false;
    seen.add(identity);
    return true;
  });
}

async function readLogs(
  sql: Database,
  location: Location,
  conditions: readonly Fragment[],
): Promise<{ items: LogItem[]; truncated: boolean }> {
  const during = happened(sql, sql`time`, location);
  const rows = await sql<LogItem[]>`
SELECT ${logItemColumns(sql)}
FROM timespan.log_records
${where(sql, [...conditions, during])}
ORDER BY time, source_id, source_offset, source_index
LIMIT ${TRACE_LOGS_MAX + 1}`;
  return { items: rows.slice(0, TRACE_LOGS_MAX), truncated: rows.length > TRACE_LOGS_MAX };
}
