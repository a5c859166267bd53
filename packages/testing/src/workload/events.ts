/** The events of the workload: what one message of the topics `apm.spans` and `apm.logs` holds, as JSON. */

export type SpanKind = "SERVER" | "CLIENT" | "INTERNAL" | "PRODUCER" | "CONSUMER";
export type Labels = Record<string, string | number>;

export interface SpanEvent {
  type: "span";
  /** Start of the span, ISO 8601 with microseconds. */
  timestamp: string;
  service_name: string;
  environment: string;
  /** 32 hex digits. */
  trace_id: string;
  /** 16 hex digits. */
  span_id: string;
  /** `null` for the root of its trace. */
  parent_span_id: string | null;
  name: string;
  kind: SpanKind;
  duration_ms: number;
  status: "OK" | "ERROR" | "UNSET";
  http_method?: string;
  http_path?: string;
  http_status_code?: number;
  labels?: Labels;
}

export interface LogEvent {
  type: "log";
  /** ISO 8601 with microseconds. */
  timestamp: string;
  service_name: string;
  environment: string;
  level: "DEBUG" | "INFO" | "WARN" | "ERROR";
  message: string;
  trace_id: string;
  span_id: string;
  http_method?: string;
  http_path?: string;
  http_status_code?: number;
  labels?: Labels;
}

/** ISO 8601 with microseconds, from whole microseconds since the Unix epoch. */
export function isoMicroseconds(epochUs: number): string {
  const toMilliseconds = new Date(Math.floor(epochUs / 1_000)).toISOString().slice(0, -1);
  return `${toMilliseconds}${String(epochUs % 1_000).padStart(3, "0")}Z`;
}
