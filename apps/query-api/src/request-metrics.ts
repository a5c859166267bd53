import type { Clock } from "@timespan/runtime/clock";
import { Counter, Histogram, type Registry } from "@timespan/runtime/metrics";
import type { MiddlewareHandler } from "hono";
import { routePath } from "hono/route";

/** What this process says about the requests it answered; names after OpenTelemetry's HTTP conventions. */
export interface RequestMetrics {
  middleware: MiddlewareHandler;
  turnedAway: Counter<"reason">;
}

export function createRequestMetrics(registry: Registry, clock: Clock): RequestMetrics {
  const labelNames = ["http_route", "http_response_status_code"] as const;
  const requests = new Counter({
    name: "http_server_requests_total",
    help: "Requests answered, by route and status code.",
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
  const middleware: MiddlewareHandler = async (c, next) => {
    const startMs = clock.nowMs();
    await next();
    const route = routePath(c, -1);
    const labels = {
      // The pattern, never the path: ids would make a series each.
      http_route: route.includes("*") ? "unmatched" : route,
      http_response_status_code: c.res.status,
    };
    requests.inc(labels);
    duration.observe(labels, (clock.nowMs() - startMs) / 1_000);
  };
  return { middleware, turnedAway };
}
