import type { Clock } from "@timespan/runtime/clock";
import type { Logger } from "@timespan/runtime/logger";
import { takeOverTrace } from "@timespan/telemetry/trace-context";
import type { MiddlewareHandler } from "hono";
import { routePath } from "hono/route";
import type { ApiEnv, RequestFacts } from "./api-env.ts";
import { CLIENT_GONE_STATUS } from "./problem.ts";
import type { RequestMetrics } from "./request-metrics.ts";

/** A request that takes as long as this is worth a line, whatever it was. */
const SLOW_MS = 1_000;

/**
 * Puts every request into a trace, its caller's or a new one, counts it, and logs one line about it. Failures and
 * what cost a query are logged at `info` or above; what cost next to nothing (an answer from the cache, a 4xx, a
 * health check) at `debug`, so that no client can fill a disk with it.
 */
export function requestTelemetry(
  { count }: RequestMetrics,
  logger: Logger,
  clock: Clock,
): MiddlewareHandler<ApiEnv> {
  return async (c, next) => {
    const startMs = clock.nowMs();
    const { traceId, parentSpanId } = takeOverTrace(c.req.header("traceparent"));
    const facts: RequestFacts = {};
    c.set("facts", facts);
    await next();
    c.res.headers.set("x-trace-id", traceId);
    const status = c.res.status;
    const durationMs = clock.nowMs() - startMs;
    const matched = routePath(c, -1);
    // The pattern, never the path: ids would make a series each.
    const route = matched.includes("*") ? "unmatched" : matched;
    count(route, status, durationMs);
    const line = {
      trace_id: traceId,
      parent_span_id: parentSpanId,
      method: c.req.method,
      route,
      path: c.req.path,
      status,
      duration_ms: durationMs,
      key: c.get("key")?.name,
      ...facts,
      err: status >= 500 ? c.error : undefined,
    };
    logger[levelOf(route, status, durationMs, facts)](line, messageOf(status));
  };
}

function levelOf(
  route: string,
  status: number,
  durationMs: number,
  { cache }: RequestFacts,
): "debug" | "info" | "warn" | "error" {
  if (status >= 500) return status === 503 ? "warn" : "error";
  if (durationMs >= SLOW_MS || status === CLIENT_GONE_STATUS) return "info";
  const queried = route.startsWith("/query/") && cache !== "hit" && cache !== "stale";
  return queried && (status < 400 || status === 404) ? "info" : "debug";
}

function messageOf(status: number): string {
  if (status === CLIENT_GONE_STATUS) return "the client went away; its query was cancelled";
  if (status === 503) return "a request could not be answered";
  return status >= 500 ? "a request failed" : "request";
}
