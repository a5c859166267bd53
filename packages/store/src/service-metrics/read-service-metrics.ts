import type { Access } from "@timespan/telemetry/access";
import type { Metric } from "@timespan/telemetry/api/metric-series";
import type { TimeUs } from "@timespan/telemetry/timestamp";
import type { Database } from "../database.ts";
import { completeThroughUs } from "../ingest/complete-through.ts";
import { given, where } from "../query/filters.ts";
import { latencyMs, type RequestSummaryRow, summarizeRequests } from "../query/observed-requests.ts";
import { errorRate } from "../query/rank-requests.ts";
import { planSegments, type RollupUse, sourceOf, type Window } from "../query/request-segments.ts";
import { visibleRows } from "../query/visible-rows.ts";

export interface MetricsQuestion {
  serviceName: string;
  environment?: string | undefined;
  metrics: readonly Metric[];
  window: Window;
  /** Whole seconds, in microseconds. */
  intervalUs: number;
}

export interface MetricPoint {
  /** Start of the interval: a whole number of intervals after the Unix epoch, so the first may lie before the window. */
  timeUs: TimeUs;
  /** Null where the metric is a percentile and there were no requests. */
  value: number | null;
}

export interface ServiceMetrics {
  source: "raw" | "rollup" | "mixed";
  /** See {@link completeThroughUs}. */
  completeThroughUs: number | null;
  series: { metric: Metric; points: MetricPoint[] }[];
}

/**
 * Metrics of a service's requests, a point an interval; no span outside the window counts. `undefined` where no span
 * of such a service is stored that the caller may see.
 * @throws the driver's error where the database is away or the statement ran into its limit
 */
export async function readServiceMetrics(
  database: Database,
  access: Access,
  rollups: RollupUse,
  { serviceName, environment, metrics, window, intervalUs }: MetricsQuestion,
): Promise<ServiceMetrics | undefined> {
  const segments = planSegments("service", window, intervalUs, rollups);
  const quantiles = metrics.flatMap((metric) => (metric.figure === "latency" ? [metric.quantile] : []));
  const summary = summarizeRequests(database, {
    grain: "service",
    segments,
    key: (time) =>
      database`date_bin(${intervalUs / 1_000_000}::integer * INTERVAL '1 second', ${time}, TIMESTAMPTZ '1970-01-01 00:00:00+00')`,
    keyedByTime: true,
    matching: [
      database`service_name = ${serviceName}`,
      ...visibleRows(database, access),
      ...given(environment, (name) => database`environment = ${name}`),
    ],
    quantiles,
  });
  const rows = await database<
    (RequestSummaryRow & { time_us: number | null; complete_through_us: number | null })[]
  >`
SELECT ${completeThroughUs(database)} AS complete_through_us,
  (extract(epoch FROM key) * 1000000)::double precision AS time_us, request_count, error_count, duration_us_max, bins
FROM (SELECT) AS always
LEFT JOIN (${summary}
) AS summary ON true`;

  if (rows.every((row) => row.time_us === null) && !(await serviceExists(database, access, serviceName))) {
    return undefined;
  }
  const byTime = new Map(rows.map((row) => [row.time_us, row]));
  const times = intervalsOf(window, intervalUs);
  const read = (metric: Metric, row: RequestSummaryRow | undefined) => {
    switch (metric.figure) {
      case "request_count":
        return row?.request_count ?? 0;
      case "error_rate":
        return row === undefined ? 0 : errorRate(row);
      case "latency":
        return row === undefined
          ? null
          : latencyMs(row.bins[quantiles.indexOf(metric.quantile)], row.duration_us_max);
    }
  };
  return {
    source: sourceOf(segments),
    completeThroughUs: rows[0]?.complete_through_us ?? null,
    series: metrics.map((metric) => ({
      metric,
      points: times.map((timeUs) => ({ timeUs, value: read(metric, byTime.get(timeUs)) })),
    })),
  };
}

async function serviceExists(database: Database, access: Access, serviceName: string): Promise<boolean> {
  const conditions = [database`service_name = ${serviceName}`, ...visibleRows(database, access)];
  const rows = await database`SELECT FROM timespan.spans ${where(database, conditions)} LIMIT 1`;
  return rows.length > 0;
}

/** The starts of the intervals that `window` touches: whole numbers of intervals after the Unix epoch. */
export function intervalsOf({ fromUs, toUs }: Window, intervalUs: number): TimeUs[] {
  const first = Math.floor(fromUs / intervalUs);
  const end = Math.ceil(toUs / intervalUs);
  return Array.from({ length: end - first }, (_, n) => (first + n) * intervalUs);
}
