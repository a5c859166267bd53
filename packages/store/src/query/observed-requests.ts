import { binEstimateUs } from "@timespan/telemetry/duration-bin";
import { SPAN_KIND } from "@timespan/telemetry/span-kind";
import { STATUS_CODE } from "@timespan/telemetry/status-code";
import type { Database } from "../database.ts";
import { type Fragment, where } from "./filters.ts";
import { timeParameter } from "./parameters.ts";
import type { RollupGrain, Segment } from "./request-segments.ts";

/** Requests to be counted: SERVER spans, by weight where clients sampled. */
export interface RequestQuestion {
  /** Rollups by service are smaller; those by endpoint know the endpoint too. */
  grain: RollupGrain;
  segments: readonly Segment[];
  /** What requests are counted by, of a relation whose time is in the column `time`. */
  key(time: Fragment): Fragment;
  /** Whether segments, being of different times, share hardly a key: to add them up beforehand would only cost. */
  keyedByTime?: boolean;
  /** Conditions on service_name, environment and, at that grain, endpoint. */
  matching: readonly Fragment[];
  /** Quantiles of the duration that are wanted, 0..1. */
  quantiles: readonly number[];
  /** Whether keys are wanted too that have spans, but none of a request. */
  everyKind?: boolean;
}

/** One row a key. Counts are sums of weights, which are multiples of 1/1024: exact in any order. */
export interface RequestSummaryRow {
  request_count: number;
  error_count: number;
  duration_us_max: number | null;
  /** The duration bin of each quantile that was asked for; null without requests. */
  bins: (number | null)[];
}

/**
 * A subquery of `key` and the columns of {@link RequestSummaryRow}. All segments are read in the one statement it
 * becomes part of, so in one snapshot. A quantile q is the first bin at which the running sum reaches q of the total:
 * the bin of `percentile_disc(q)`. Rows of one key and bin are peers, so the sum is the same for each of them.
 */
export function summarizeRequests(sql: Database, question: RequestQuestion): Fragment {
  const reached = question.quantiles.map(
    (q) => sql`min(duration_bin) FILTER (WHERE running >= ${q}::double precision * total)`,
  );
  const parts = question.segments.flatMap((segment) => readSegment(sql, question, segment));
  const all = unionAll(sql, parts);
  const binned =
    parts.length === 1 || question.keyedByTime
      ? all
      : sql`
    SELECT key, duration_bin, sum(span_count) AS span_count, sum(error_count) AS error_count,
      max(duration_us_max) AS duration_us_max
    FROM (${all}) AS segments
    GROUP BY key, duration_bin`;
  return sql`
SELECT key,
  sum(span_count) AS request_count,
  sum(error_count) AS error_count,
  max(duration_us_max)::double precision AS duration_us_max,
  ARRAY[${list(sql, reached)}]::smallint[] AS bins
FROM (
  SELECT key, duration_bin, span_count, error_count, duration_us_max,
    sum(span_count) OVER (PARTITION BY key ORDER BY duration_bin) AS running,
    sum(span_count) OVER (PARTITION BY key) AS total
  FROM (${binned}
  ) AS binned
) AS cumulated
GROUP BY key`;
}

/**
 * Columns `key, duration_bin, span_count, error_count, duration_us_max`; the bin is null where no quantile is wanted, and
 * of keys that are only there because `everyKind` is wanted: those count nothing.
 */
function readSegment(sql: Database, question: RequestQuestion, segment: Segment): Fragment[] {
  const { grain, matching, quantiles, everyKind = false } = question;
  const { source, fromUs, toUs } = segment;
  const isRaw = source === "raw";
  const time = isRaw ? sql`start_time` : sql`bucket`;
  const key = question.key(time);
  const during = [
    ...matching,
    sql`${time} >= ${timeParameter(sql, fromUs)}`,
    sql`${time} < ${timeParameter(sql, toUs)}`,
  ];
  const isRequest = sql`span_kind = ${SPAN_KIND.SERVER}`;
  const bin = quantiles.length > 0 ? sql`duration_bin` : sql`NULL::smallint`;
  if (isRaw && everyKind) {
    // Raw spans are many: they are read once for both.
    return [
      sql`
    SELECT ${key} AS key, CASE WHEN ${isRequest} THEN ${bin} END AS duration_bin,
      coalesce(sum(sample_weight) FILTER (WHERE ${isRequest}), 0) AS span_count,
      coalesce(sum(sample_weight) FILTER (WHERE ${isRequest} AND status_code = ${STATUS_CODE.ERROR}), 0) AS error_count,
      max(duration_us) FILTER (WHERE ${isRequest}) AS duration_us_max
    FROM timespan.spans
    ${where(sql, during)}
    GROUP BY 1, 2`,
    ];
  }
  const counts = isRaw
    ? sql`sum(sample_weight) AS span_count,
      coalesce(sum(sample_weight) FILTER (WHERE status_code = ${STATUS_CODE.ERROR}), 0) AS error_count,
      max(duration_us) AS duration_us_max`
    : sql`sum(span_count) AS span_count, sum(error_count) AS error_count, max(duration_us_max) AS duration_us_max`;
  const rollup = (figures: string) => sql`${sql(`timespan.${grain}_${figures}_${source}_stored`)}`;
  const requests = sql`
    SELECT ${key} AS key, ${bin} AS duration_bin, ${counts}
    FROM ${isRaw ? sql`timespan.spans` : rollup(quantiles.length > 0 ? "latency_bins" : "red")}
    ${where(sql, [...during, isRequest])}
    GROUP BY 1, 2`;
  if (!everyKind) return [requests];
  const present = sql`
    SELECT ${key}, NULL, 0, 0, NULL
    FROM ${rollup("red")}
    ${where(sql, during)}
    GROUP BY 1`;
  return [requests, present];
}

function list(sql: Database, items: readonly Fragment[]): Fragment {
  return items.reduce((all, item, index) => (index === 0 ? item : sql`${all}, ${item}`), sql``);
}

function unionAll(sql: Database, parts: readonly Fragment[]): Fragment {
  return parts.reduce((all, part, index) => (index === 0 ? part : sql`${all}\n    UNION ALL${part}`), sql``);
}

const NS_PER_US = 1_000;

/**
 * The latency that stands for `bin`, in milliseconds: within 1.083 % of every duration in it, and never above the
 * longest that was seen. Whole nanoseconds: more digits would only be noise of the arithmetic.
 */
export function latencyMs(bin: number | null | undefined, durationUsMax: number | null): number | null {
  if (bin === null || bin === undefined || durationUsMax === null) return null;
  return Math.round(Math.min(binEstimateUs(bin), durationUsMax) * NS_PER_US) / (NS_PER_US * 1_000);
}
