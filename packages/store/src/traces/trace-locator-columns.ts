import type { TimeUs } from "@timespan/telemetry/timestamp";
import type { CopyColumn } from "../copy/copy-encoder.ts";
import type { LogRow, SpanRow } from "../ingest/batch.ts";

export interface TraceLocation {
  traceId: string;
  firstTimeUs: TimeUs;
  lastTimeUs: TimeUs;
}

/** The columns of `timespan.trace_locator` and how a row fills each. */
export const traceLocatorColumns: readonly CopyColumn<TraceLocation>[] = [
  { name: "first_time", write: (to, row) => to.timestamptz(row.firstTimeUs) },
  { name: "last_time", write: (to, row) => to.timestamptz(row.lastTimeUs) },
  { name: "trace_id", write: (to, row) => to.uuidFromHex(row.traceId) },
];

/** When each trace of a batch happened, ordered by trace id. */
export function locateTraces(spans: readonly SpanRow[], logs: readonly LogRow[]): TraceLocation[] {
  const locations = new Map<string, TraceLocation>();
  let latest: TraceLocation | undefined;
  const extend = (traceId: string, timeUs: TimeUs) => {
    // The spans of a trace often come one after the other.
    const location = latest?.traceId === traceId ? latest : locations.get(traceId);
    if (location === undefined) {
      latest = { traceId, firstTimeUs: timeUs, lastTimeUs: timeUs };
      locations.set(traceId, latest);
      return;
    }
    if (timeUs < location.firstTimeUs) location.firstTimeUs = timeUs;
    else if (timeUs > location.lastTimeUs) location.lastTimeUs = timeUs;
    latest = location;
  };
  for (const { span } of spans) extend(span.traceId, span.startTimeUs);
  for (const { log } of logs) if (log.traceId !== null) extend(log.traceId, log.timeUs);
  return [...locations.values()].sort((a, b) => (a.traceId < b.traceId ? -1 : 1));
}
