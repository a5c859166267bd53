import type { RequestFigures } from "@timespan/store/query/rank-requests";
import type { Window } from "@timespan/store/query/request-segments";

const US_PER_SECOND = 1_000_000;

/** Figures of requests in the words of the API. */
export function figuresAnswer(figures: RequestFigures, window: Window) {
  return {
    request_count: figures.requestCount,
    error_rate: figures.errorRate,
    latency_p50_ms: figures.p50Ms,
    latency_p95_ms: figures.p95Ms,
    latency_p99_ms: figures.p99Ms,
    throughput_per_second: (figures.requestCount * US_PER_SECOND) / (window.toUs - window.fromUs),
  };
}
