import { z } from "zod";
import { timestamp } from "./labels.ts";
import { environmentOrAll, provenance } from "./request-figures.ts";

/** The metrics of an answer to which no metric was named. */
export const DEFAULT_METRICS = [
  "http_requests_total",
  "error_rate",
  "latency_p50_ms",
  "latency_p90_ms",
  "latency_p95_ms",
  "latency_p99_ms",
] as const;

/** `latency_p95_ms`, `latency_p99.9_ms`. */
export const LATENCY_METRIC = /^latency_p(\d{1,2}(?:\.\d{1,3})?)_ms$/;

/** A metric that a service has: a count, a share, or the quantile 0..1 of a duration. */
export type Metric =
  | { name: string; figure: "request_count" | "error_rate" }
  | { name: string; figure: "latency"; quantile: number };

/** The metric of this name; `undefined` where there is none. */
export function parseMetric(name: string): Metric | undefined {
  if (name === "http_requests_total") return { name, figure: "request_count" };
  if (name === "error_rate") return { name, figure: "error_rate" };
  const percentile = Number(LATENCY_METRIC.exec(name)?.[1] ?? 0);
  return percentile > 0 ? { name, figure: "latency", quantile: percentile / 100 } : undefined;
}

/** Answer of `/query/services/:serviceName/metrics`: a series a metric. */
export const metricSeriesList = z.array(
  z.strictObject({
    metric_name: z.string(),
    service_name: z.string(),
    environment: environmentOrAll,
    interval_seconds: z.int().describe("Length of the interval of a point, in seconds."),
    ...provenance,
    points: z
      .array(
        z.strictObject({
          timestamp: timestamp.describe(
            "Start of the interval, a whole number of intervals after 1970; the first and the last hold only what lies within the window.",
          ),
          value: z
            .number()
            .nullable()
            .describe("0 for a count or share of no requests, null for a percentile of none."),
        }),
      )
      .describe("Every interval of the window, oldest first."),
  }),
);

export type MetricSeriesList = z.infer<typeof metricSeriesList>;
