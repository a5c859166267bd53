import type { SpanItem } from "@timespan/telemetry/api/span-item";
import type { TraceSummary } from "@timespan/telemetry/api/trace-answer";
import { parseTimestamp } from "@timespan/telemetry/timestamp";

/**
 * What `spans`, distinct and by start time, amount to as one trace.
 * @param allWereRead false where the trace has more spans than these
 */
export function summarizeTrace(spans: readonly SpanItem[], allWereRead: boolean): TraceSummary {
  const spanIds = new Set(spans.map((span) => span.span_id));
  const root = spans.find((span) => span.parent_span_id === null);
  const orphanCount = spans.filter(
    (span) => span.parent_span_id !== null && !spanIds.has(span.parent_span_id),
  ).length;
  return {
    span_count: spans.length,
    error_count: spans.filter((span) => span.status === "ERROR").length,
    duration_ms: durationMs(spans),
    start_time: spans[0]?.timestamp ?? null,
    service_count: new Set(spans.map((span) => span.service_name)).size,
    root_span_id: root?.span_id ?? null,
    orphan_span_count: orphanCount,
    complete: root !== undefined && orphanCount === 0 && allWereRead,
  };
}

/** From the first start to the last end; in whole microseconds until the end, so that no fraction drifts. */
function durationMs(spans: readonly SpanItem[]): number | null {
  if (spans.length === 0) return null;
  let firstUs = Number.POSITIVE_INFINITY;
  let lastUs = Number.NEGATIVE_INFINITY;
  for (const span of spans) {
    const startUs = parseTimestamp(span.timestamp) ?? 0;
    firstUs = Math.min(firstUs, startUs);
    lastUs = Math.max(lastUs, startUs + Math.round(span.duration_ms * 1_000));
  }
  return (lastUs - firstUs) / 1_000;
}
