import { Counter, Histogram, type Registry } from "@timespan/runtime/metrics";

/** What this process says about the requests it answered; names after OpenTelemetry's HTTP conventions. */
export interface RequestMetrics {
  /** @param route its pattern */
  count(route: string, status: number, durationMs: number): void;
  turnedAway: Counter<"reason">;
  refusedKeys: Counter<"reason">;
  cacheAnswers: Counter<"outcome">;
  cacheTooLarge: Counter;
}

export function createRequestMetrics(registry: Registry): RequestMetrics {
  const labelNames = ["http_route", "http_response_status_code"] as const;
  const requests = new Counter({
    name: "http_server_requests_total",
    help: "Requests answered, by route and status code; 499 where the client went away first.",
    labelNames,
    registers: [registry],
  });
  const duration = new Histogram({
    name: "http_server_request_duration_seconds",
    help: "Time from a request to its answer, in seconds, by route and status code.",
    labelNames,
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20],
    registers: [registry],
  });
  const turnedAway = new Counter({
    name: "query_api_requests_turned_away_total",
    help: "Requests not served because a limit was reached, by limit.",
    labelNames: ["reason"] as const,
    registers: [registry],
  });
  const refusedKeys = new Counter({
    name: "query_api_refused_keys_total",
    help: "Requests refused for their API key, by reason.",
    labelNames: ["reason"] as const,
    registers: [registry],
  });
  const cacheAnswers = new Counter({
    name: "query_api_cache_answers_total",
    help: "Answers about metrics by what the cache did for them: hit, stale, miss, shared, bypass.",
    labelNames: ["outcome"] as const,
    registers: [registry],
  });
  const cacheTooLarge = new Counter({
    name: "query_api_cache_too_large_total",
    help: "Answers that were not kept because they are too large.",
    registers: [registry],
  });
  return {
    turnedAway,
    refusedKeys,
    cacheAnswers,
    cacheTooLarge,
    count(route, status, durationMs) {
      const labels = { http_route: route, http_response_status_code: status };
      requests.inc(labels);
      duration.observe(labels, durationMs / 1_000);
    },
  };
}
