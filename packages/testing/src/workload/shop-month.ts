import { isoMicroseconds, type LogEvent, type SpanEvent } from "./events.ts";
import { createRandom } from "./random.ts";
import { createShop } from "./shop.ts";

/** The moment at which the cookbook asks: a Monday noon. */
export const MONTH_NOW = "2026-03-09T12:00:00Z";
/** From this moment on the catalog runs 1.9.0, and every trace that touches it takes three times as long. */
export const SLOW_RELEASE_AT = "2026-03-09T09:00:00Z";
/** Since then the storefront calls a service that was not there before. */
export const NEW_SERVICE_AT = "2026-03-07T00:00:00Z";
/** Since then that service writes an error that was not there before. */
export const NEW_ERROR_AT = "2026-03-09T08:00:00Z";

const SEED = 42;
const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;
const SLOW_FACTOR = 3;
/** Statements of one wish list: one for the list, and one for each product on it. */
const WISHLIST_PRODUCTS = 24;
const WISHLIST_COUNT = 12;
const NEW_ERROR_SHARE = 0.2;

/**
 * The shop's spans and logs of 30 days, oldest first within each trace: thin traffic, more of it today and most in
 * the last hour, so that every question of the cookbook has an answer that is short enough to print.
 */
export function shopMonth(): { spans: SpanEvent[]; logs: LogEvent[] } {
  const nowMs = Date.parse(MONTH_NOW);
  const parts = [
    { fromMs: nowMs - 30 * DAY_MS, toMs: nowMs - DAY_MS, tracesPerSecond: 0.002 },
    { fromMs: nowMs - DAY_MS, toMs: nowMs - HOUR_MS, tracesPerSecond: 0.03 },
    { fromMs: nowMs - HOUR_MS, toMs: nowMs, tracesPerSecond: 0.4 },
  ];
  const spans: SpanEvent[] = [];
  const logs: LogEvent[] = [];
  for (const { fromMs, toMs, tracesPerSecond } of parts) {
    const shop = createShop({ seed: SEED, tracesPerSecond });
    for (const startMs of shop.startTimes(fromMs, toMs)) {
      let trace = shop.trace(startMs);
      if (startMs >= Date.parse(NEW_SERVICE_AT)) recommend(trace, startMs);
      if (startMs >= Date.parse(SLOW_RELEASE_AT)) trace = slowDown(trace, startMs);
      spans.push(...trace.spans);
      logs.push(...trace.logs);
    }
  }
  spans.push(...wishlists(nowMs));
  return { spans, logs };
}

interface Trace {
  spans: SpanEvent[];
  logs: LogEvent[];
}

/** Adds the call of a new service to the start page. */
function recommend({ spans, logs }: Trace, startMs: number): void {
  const root = spans.find(({ parent_span_id, name }) => parent_span_id === null && name === "GET /");
  if (root === undefined) return;
  const random = createRandom(SEED, Math.round(startMs * 1_000), 1);
  const fails = startMs >= Date.parse(NEW_ERROR_AT) && random.next() < NEW_ERROR_SHARE;
  const durationMs = Math.round(root.duration_ms * 400) / 1_000;
  const call = (offset: number): SpanEvent => ({
    ...root,
    timestamp: shifted(root.timestamp, Math.round(root.duration_ms * offset * 1_000)),
    span_id: random.hex(16),
    name: "GET /recommendations",
    http_path: "/recommendations",
    http_status_code: fails ? 500 : 200,
    status: fails ? "ERROR" : "OK",
  });
  const client: SpanEvent = {
    ...call(0.3),
    parent_span_id: root.span_id,
    kind: "CLIENT",
    duration_ms: durationMs,
    labels: { "peer.service": "recommendation" },
  };
  const server: SpanEvent = {
    ...call(0.32),
    parent_span_id: client.span_id,
    service_name: "recommendation",
    duration_ms: Math.round(durationMs * 900) / 1_000,
    labels: { version: "0.1.0", "http.route": "/recommendations" },
  };
  spans.push(client, server);
  if (!fails) return;
  logs.push({
    type: "log",
    timestamp: shifted(server.timestamp, Math.round(server.duration_ms * 1_000)),
    service_name: server.service_name,
    environment: server.environment,
    level: "ERROR",
    message: `no embedding for user ${1_000 + Math.floor(random.next() * 9_000)}`,
    trace_id: server.trace_id,
    span_id: server.span_id,
    labels: { "exception.type": "LookupError" },
  });
}

/** The whole trace three times as long, where the catalog took part. */
function slowDown(trace: Trace, startMs: number): Trace {
  if (!trace.spans.some(({ service_name }) => service_name === "catalog")) return trace;
  const stretched = (timestamp: string) =>
    shifted(timestamp, (SLOW_FACTOR - 1) * Math.round(microseconds(timestamp) - startMs * 1_000));
  return {
    spans: trace.spans.map((span) => ({
      ...span,
      timestamp: stretched(span.timestamp),
      duration_ms: Math.round(span.duration_ms * SLOW_FACTOR * 1_000) / 1_000,
      ...(span.service_name === "catalog" && { labels: { ...span.labels, version: "1.9.0" } }),
    })),
    logs: trace.logs.map((log) => ({ ...log, timestamp: stretched(log.timestamp) })),
  };
}

/** Requests that ask for one product after the other. */
function wishlists(nowMs: number): SpanEvent[] {
  return Array.from({ length: WISHLIST_COUNT }, (_, n) => {
    const random = createRandom(SEED, n, 2);
    const startUs = (nowMs - (n + 1) * 20 * 60_000) * 1_000;
    const statementsUs = Array.from({ length: WISHLIST_PRODUCTS }, () =>
      Math.round(3_000 * random.latencyFactor()),
    );
    const traceId = random.hex(32);
    const rootId = random.hex(16);
    let atUs = startUs + 2_000;
    const statements = statementsUs.map((durationUs): SpanEvent => {
      const timestamp = isoMicroseconds(atUs);
      atUs += durationUs + 200;
      return {
        type: "span",
        timestamp,
        service_name: "storefront",
        environment: "production",
        trace_id: traceId,
        span_id: random.hex(16),
        parent_span_id: rootId,
        name: "SELECT products",
        kind: "CLIENT",
        duration_ms: durationUs / 1_000,
        status: "UNSET",
        labels: { "peer.service": "postgresql", "db.system": "postgresql" },
      };
    });
    const root: SpanEvent = {
      type: "span",
      timestamp: isoMicroseconds(startUs),
      service_name: "storefront",
      environment: "production",
      trace_id: traceId,
      span_id: rootId,
      parent_span_id: null,
      name: "GET /wishlist",
      kind: "SERVER",
      duration_ms: (atUs - startUs) / 1_000,
      status: "OK",
      http_method: "GET",
      http_path: "/wishlist",
      http_status_code: 200,
      labels: { "http.route": "/wishlist" },
    };
    return [root, ...statements];
  }).flat();
}

/** Microseconds since the Unix epoch. */
function microseconds(timestamp: string): number {
  return Date.parse(`${timestamp.slice(0, 19)}Z`) * 1_000 + Number(timestamp.slice(20, 26));
}

function shifted(timestamp: string, us: number): string {
  return isoMicroseconds(microseconds(timestamp) + us);
}
