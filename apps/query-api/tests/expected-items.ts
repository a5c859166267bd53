import type { LogItem } from "@timespan/telemetry/api/log-item";
import type { SpanItem } from "@timespan/telemetry/api/span-item";
import { environmentName } from "@timespan/telemetry/environment-name";
import { formatTimestamp, parseTimestamp } from "@timespan/telemetry/timestamp";
import type { LogEvent, SpanEvent } from "@timespan/testing/workload/events";

/** What the API must show for a span event, written from the contract rather than from the code. */
export function expectedSpan(event: SpanEvent): SpanItem {
  return {
    timestamp: formatTimestamp(parseTimestamp(event.timestamp) ?? Number.NaN),
    trace_id: event.trace_id,
    span_id: event.span_id,
    parent_span_id: event.parent_span_id,
    name: event.name,
    kind: event.kind,
    duration_ms: event.duration_ms,
    status: event.status,
    service_name: event.service_name,
    environment: environmentName(event.environment),
    http_method: event.http_method ?? null,
    http_path: event.http_path ?? null,
    http_status_code: event.http_status_code ?? null,
    labels: event.labels ?? {},
  };
}

/** What the API must show for a log event. */
export function expectedLog(event: LogEvent): LogItem {
  const { http_method, http_path, http_status_code } = event;
  return {
    timestamp: formatTimestamp(parseTimestamp(event.timestamp) ?? Number.NaN),
    level: event.level,
    message: event.message,
    service_name: event.service_name,
    environment: environmentName(event.environment),
    trace_id: event.trace_id,
    span_id: event.span_id,
    labels: {
      ...event.labels,
      ...(http_method === undefined ? {} : { http_method }),
      ...(http_path === undefined ? {} : { http_path }),
      ...(http_status_code === undefined ? {} : { http_status_code }),
    },
  };
}
