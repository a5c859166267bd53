import type { RollupUse, Window } from "@timespan/store/query/request-segments";
import {
  intervalsOf,
  type MetricsQuestion,
  readServiceMetrics,
} from "@timespan/store/service-metrics/read-service-metrics";
import {
  DEFAULT_METRICS,
  type MetricSeriesList,
  metricSeriesList,
  parseMetric,
} from "@timespan/telemetry/api/metric-series";
import { parsed } from "@timespan/telemetry/api/parameter-schemas";
import { formatTimestamp } from "@timespan/telemetry/timestamp";
import { z } from "zod";
import {
  type Asked,
  completeThrough,
  type MetricRoute,
  metricParameters,
  windowAnswer,
} from "../metric-request.ts";
import type { Operation } from "../operation.ts";
import { wholeNumber } from "../parameters.ts";

/** Points of one series: 400 days by 30 minutes, the longest window by its default interval. */
const POINTS_MAX = 20_000;
const MINUTE_SECONDS = 60;
const INTERVAL_SECONDS_MAX = 400 * 86_400;
const SECONDS_PER_UNIT = { s: 1, m: 60, h: 3_600, d: 86_400 } as const;

/** The interval of a window that none was asked for, by the longest window that has it. */
const DEFAULT_INTERVALS = [
  { windowMinutesMax: 15, intervalSeconds: 10 },
  { windowMinutesMax: 30, intervalSeconds: 30 },
  { windowMinutesMax: 120, intervalSeconds: 60 },
  { windowMinutesMax: 360, intervalSeconds: 300 },
  { windowMinutesMax: 1_440, intervalSeconds: 600 },
  { windowMinutesMax: Number.POSITIVE_INFINITY, intervalSeconds: 1_800 },
];

export const serviceMetricsParameters = z.object({
  ...metricParameters,
  metric: parsed(
    parseMetric,
    "must be http_requests_total, error_rate or latency_pNN_ms, such as latency_p95_ms",
  )
    .meta({ examples: ["http_requests_total", "error_rate", "latency_p95_ms"] })
    .optional()
    .describe(
      "One metric: http_requests_total, error_rate or latency_pNN_ms. All common ones where none is named.",
    ),
  interval: parsed(parseInterval, "must be a length of time such as 10s, 5m, 1h or 1d, from 1s to 400d")
    .meta({ pattern: "^[0-9]{1,9}[smhd]$", examples: ["10s", "5m", "1h", "1d"] })
    .optional()
    .describe("Length of the interval of a point, such as 10s, 5m, 1h or 1d."),
  intervalMinutes: wholeNumber(1, INTERVAL_SECONDS_MAX / MINUTE_SECONDS)
    .optional()
    .describe("The same in minutes."),
});

function parseInterval(text: string): number | undefined {
  const [, count = "", unit = "s"] = /^(\d{1,9})([smhd])$/.exec(text) ?? [];
  const seconds = Number(count) * SECONDS_PER_UNIT[unit as keyof typeof SECONDS_PER_UNIT];
  return seconds >= 1 && seconds <= INTERVAL_SECONDS_MAX ? seconds : undefined;
}

export const serviceMetricsOperation: Operation<typeof serviceMetricsParameters> = {
  id: "readServiceMetrics",
  path: "/query/services/:serviceName/metrics",
  summary: "Series of a service's requests, one a metric.",
  pathParameters: {
    serviceName: "Name of the service.",
  },
  parameters: serviceMetricsParameters,
  answer: metricSeriesList,
};

/** `GET /query/services/:serviceName/metrics`: series of a service's requests, one a metric. */
export const serviceMetricsRoute = (
  rollups: () => Promise<RollupUse>,
): MetricRoute<typeof serviceMetricsParameters, MetricsQuestion, MetricSeriesList> => ({
  name: "service-metrics",
  operation: serviceMetricsOperation,
  ask: ({ values, path, window }) => {
    const interval = askInterval(values, window);
    if (!interval.ok) return interval;
    const metrics =
      values.metric === undefined
        ? DEFAULT_METRICS.flatMap((name) => parseMetric(name) ?? [])
        : [values.metric];
    return {
      ok: true,
      question: {
        serviceName: path.serviceName ?? "",
        environment: values.environment,
        metrics,
        window,
        intervalUs: interval.question * 1_000_000,
      },
    };
  },
  async answer(question, { database, access }) {
    const metrics = await readServiceMetrics(database, access, await rollups(), question);
    if (metrics === undefined) return [];
    const { environment } = windowAnswer(question.window, question.environment);
    return metrics.series.map(({ metric, points }) => ({
      metric_name: metric.name,
      service_name: question.serviceName,
      environment,
      interval_seconds: question.intervalUs / 1_000_000,
      source: metrics.source,
      complete_through: completeThrough(metrics.completeThroughUs, question.window),
      points: points.map(({ timeUs, value }) => ({ timestamp: formatTimestamp(timeUs), value })),
    }));
  },
});

function askInterval(
  values: { interval?: number | undefined; intervalMinutes?: number | undefined },
  window: Window,
): Asked<number> {
  const { interval, intervalMinutes } = values;
  const minutesInSeconds = intervalMinutes === undefined ? undefined : intervalMinutes * MINUTE_SECONDS;
  if (interval !== undefined && minutesInSeconds !== undefined && interval !== minutesInSeconds) {
    const reason = "must not say something else than interval; one of the two is enough";
    return { ok: false, problems: [{ name: "intervalMinutes", reason }] };
  }
  const seconds = interval ?? minutesInSeconds ?? defaultIntervalSeconds(window);
  const count = intervalsOf(window, seconds * 1_000_000).length;
  if (count <= POINTS_MAX) return { ok: true, question: seconds };
  const reason = `would make ${count} points of this window, at most ${POINTS_MAX} are possible: choose a longer one, or a shorter window`;
  return { ok: false, problems: [{ name: interval === undefined ? "intervalMinutes" : "interval", reason }] };
}

function defaultIntervalSeconds({ fromUs, toUs }: Window): number {
  const minutes = (toUs - fromUs) / 60_000_000;
  const fitting = DEFAULT_INTERVALS.find(({ windowMinutesMax }) => minutes <= windowMinutesMax);
  return fitting?.intervalSeconds ?? MINUTE_SECONDS;
}
