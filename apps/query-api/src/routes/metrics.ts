import type { Registry } from "@timespan/runtime/metrics";
import type { Handler } from "hono";

/** `GET /metrics`: this process's own numbers, as Prometheus text. */
export const metricsRoute =
  (registry: Registry): Handler =>
  async (c) =>
    c.body(await registry.metrics(), 200, { "content-type": registry.contentType });
