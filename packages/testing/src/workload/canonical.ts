import { isoMicroseconds, type LogEvent, type SpanEvent, type SpanKind } from "./events.ts";
import { createRandom } from "./random.ts";

export const SERVICE_COUNT = 20;
export const ENDPOINT_COUNT = 16;
export const ENVIRONMENTS = ["production", "staging", "development"] as const;
export const KINDS = ["SERVER", "CLIENT", "INTERNAL"] as const satisfies readonly SpanKind[];
const SPANS_PER_TRACE = 10;
const ERROR_SHARE = 0.02;
/** Statements that log, each with a message of its own. */
const STATEMENT_COUNT = 40;
/** Among the messages of {@link canonicalLogs}, one in {@link RARE_WORD_EVERY}. */
export const RARE_WORD = "quarantined";
export const RARE_WORD_EVERY = 50_000;
/** Separates the drawing of logs from that of spans. */
const LOGS_STREAM = 1;

/**
 * The flat workload of the benchmarks: {@link SERVICE_COUNT} services × {@link ENDPOINT_COUNT} endpoints ×
 * 3 environments × 3 kinds, all equally likely, in traces of ten spans under one root. Span `n` starts
 * `n / spansPerSecond` seconds after `startMs` (epoch milliseconds). Never ends: take as many as needed.
 */
export function* canonicalSpans({
  seed,
  startMs,
  spansPerSecond,
}: {
  seed: number;
  startMs: number;
  spansPerSecond: number;
}): Generator<SpanEvent, never, undefined> {
  const random = createRandom(seed, startMs);
  const below = (count: number) => Math.floor(random.next() * count);
  const service = () => `service-${String(below(SERVICE_COUNT)).padStart(2, "0")}`;
  let traceId = "";
  let rootSpanId = "";
  for (let n = 0; ; n++) {
    const isRoot = n % SPANS_PER_TRACE === 0;
    const spanId = random.hex(16);
    if (isRoot) {
      traceId = random.hex(32);
      rootSpanId = spanId;
    }
    const kind = KINDS[below(KINDS.length)] ?? "SERVER";
    yield {
      type: "span",
      timestamp: isoMicroseconds(Math.round(startMs * 1_000 + (n / spansPerSecond) * 1_000_000)),
      service_name: service(),
      environment: ENVIRONMENTS[below(ENVIRONMENTS.length)] ?? "production",
      trace_id: traceId,
      span_id: spanId,
      parent_span_id: isRoot ? null : rootSpanId,
      name: `GET /endpoint-${String(below(ENDPOINT_COUNT)).padStart(2, "0")}`,
      kind,
      duration_ms: Math.max(1, Math.round(20_000 * random.latencyFactor())) / 1_000,
      status: random.next() < ERROR_SHARE ? "ERROR" : "OK",
      ...(kind === "CLIENT" && { labels: { "peer.service": service() } }),
    };
  }
}

/**
 * The logs beside {@link canonicalSpans}, as flat: {@link SERVICE_COUNT} services × 3 environments, all equally
 * likely, messages of about 120 characters from {@link STATEMENT_COUNT} statements, each log of a trace of its own.
 * Log `n` is written `n / logsPerSecond` seconds after `startMs` (epoch milliseconds). Never ends.
 */
export function* canonicalLogs({
  seed,
  startMs,
  logsPerSecond,
}: {
  seed: number;
  startMs: number;
  logsPerSecond: number;
}): Generator<LogEvent, never, undefined> {
  const random = createRandom(seed, startMs, LOGS_STREAM);
  const below = (count: number) => Math.floor(random.next() * count);
  for (let n = 0; ; n++) {
    const statement = below(STATEMENT_COUNT);
    const outcome = n % RARE_WORD_EVERY === RARE_WORD_EVERY - 1 ? RARE_WORD : "accepted";
    yield {
      type: "log",
      timestamp: isoMicroseconds(Math.round(startMs * 1_000 + (n / logsPerSecond) * 1_000_000)),
      service_name: `service-${String(below(SERVICE_COUNT)).padStart(2, "0")}`,
      environment: ENVIRONMENTS[below(ENVIRONMENTS.length)] ?? "production",
      level: logLevel(random.next()),
      message: `step ${"abcdefghij"[statement % 10]}${"klmn"[statement % 4]} of order ${random.hex(16)} ${outcome} for customer ${below(100_000)} after ${below(2_000)} ms with ${below(30)} items in the cart`,
      trace_id: random.hex(32),
      span_id: random.hex(16),
    };
  }
}

function logLevel(uniform: number): LogEvent["level"] {
  if (uniform < 0.02) return "ERROR";
  if (uniform < 0.07) return "WARN";
  return uniform < 0.9 ? "INFO" : "DEBUG";
}
