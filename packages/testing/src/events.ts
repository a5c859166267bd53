import type { LogEvent, SpanEvent } from "./workload/events.ts";

/** `bytes` random bytes as hex: 16 for a trace id, 8 for a span id. */
export function randomHex(bytes: number): string {
  return Buffer.from(crypto.getRandomValues(new Uint8Array(bytes))).toString("hex");
}

/** A name that no other test uses, so that tests can share a database or a topic. */
export function uniqueName(prefix: string): string {
  return `${prefix}-${randomHex(6)}`;
}

/** A valid span event of the contract, as of now. */
export function spanEvent(fields: Partial<SpanEvent> = {}): SpanEvent {
  return {
    type: "span",
    timestamp: new Date().toISOString(),
    service_name: "checkout",
    environment: "production",
    trace_id: randomHex(16),
    span_id: randomHex(8),
    parent_span_id: null,
    name: "POST /orders",
    kind: "SERVER",
    duration_ms: 12.345,
    status: "OK",
    http_method: "POST",
    http_path: "/orders",
    http_status_code: 201,
    labels: { region: "eu" },
    ...fields,
  };
}

/** A valid log event of the contract, as of now. */
export function logEvent(fields: Partial<LogEvent> = {}): LogEvent {
  return {
    trace_id: randomHex(16),
    span_id: randomHex(8),
    type: "log",
    timestamp: new Date().toISOString(),
    service_name: "checkout",
    environment: "production",
    level: "INFO",
    message: "order placed",
    labels: { region: "eu" },
    ...fields,
  };
}
