import { isoMicroseconds, type SpanEvent, type SpanKind } from "./events.ts";
import { createRandom } from "./random.ts";

export const SERVICE_COUNT = 20;
export const ENDPOINT_COUNT = 16;
export const ENVIRONMENTS = ["production", "staging", "development"] as const;
export const KINDS = ["SERVER", "CLIENT", "INTERNAL"] as const satisfies readonly SpanKind[];
const SPANS_PER_TRACE = 10;
const ERROR_SHARE = 0.02;

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
