import type { RequestSort } from "@timespan/telemetry/api/request-figures";
import type { Database } from "../database.ts";
import { completeThroughUs } from "../ingest/complete-through.ts";
import { type Fragment, given, where } from "./filters.ts";
import {
  latencyMs,
  type RequestQuestion,
  type RequestSummaryRow,
  summarizeRequests,
} from "./observed-requests.ts";
import { escapeLike } from "./parameters.ts";
import { planSegments, type RollupUse, sourceOf, type Window } from "./request-segments.ts";

/** What is to be ranked: all that matches is, before the limit cuts. */
export interface RankQuestion extends Omit<RequestQuestion, "segments" | "quantiles"> {
  window: Window;
  /** Contained in the key, upper and lower case alike. */
  nameFilter?: string | undefined;
  sort: RequestSort;
  limit: number;
}

/** Figures of the requests of one key. */
export interface RequestFigures {
  key: string;
  requestCount: number;
  /** 0..1; 0 without requests. */
  errorRate: number;
  /** In milliseconds; null without requests. */
  p50Ms: number | null;
  p95Ms: number | null;
  p99Ms: number | null;
}

export interface RankedRequests {
  source: "raw" | "rollup" | "mixed";
  /** See {@link completeThroughUs}. */
  completeThroughUs: number | null;
  ranked: RequestFigures[];
}

const QUANTILES = [0.5, 0.95, 0.99];

/** The figures of each key, the largest by `sort` first, at most `limit`. */
export async function rankRequests(
  sql: Database,
  rollups: RollupUse,
  { window, nameFilter, sort, limit, ...question }: RankQuestion,
): Promise<RankedRequests> {
  const segments = planSegments(question.grain, window, null, rollups);
  const summary = summarizeRequests(sql, { ...question, segments, quantiles: QUANTILES });
  const named = given(nameFilter, (text) => sql`key ILIKE ${`%${escapeLike(text)}%`}`);
  const rows = await sql<(RequestSummaryRow & { key: string | null; complete_through_us: number | null })[]>`
WITH ranked AS (
  SELECT *
  FROM (${summary}
  ) AS summary
  ${where(sql, named)}
  ORDER BY ${orderBy(sql, sort)}
  LIMIT ${limit}
)
SELECT ${completeThroughUs(sql)} AS complete_through_us, ranked.*
FROM (SELECT) AS always
LEFT JOIN ranked ON true
ORDER BY ${orderBy(sql, sort)}`;
  return {
    source: sourceOf(segments),
    completeThroughUs: rows[0]?.complete_through_us ?? null,
    ranked: rows.flatMap(({ key, ...row }) => (key === null ? [] : [figures(key, row)])),
  };
}

/**
 * `bins[2]` is the second of {@link QUANTILES}. Of two latencies in one bin the one with the larger maximum is larger,
 * if they differ at all.
 */
function orderBy(sql: Database, sort: RequestSort): Fragment {
  switch (sort) {
    case "request_count":
      return sql`request_count DESC, key COLLATE "C"`;
    case "error_rate":
      return sql`error_count / nullif(request_count, 0) DESC NULLS LAST, request_count DESC, key COLLATE "C"`;
    case "latency_p95_ms":
      return sql`bins[2] DESC NULLS LAST, duration_us_max DESC NULLS LAST, key COLLATE "C"`;
  }
}

function figures(key: string, row: RequestSummaryRow): RequestFigures {
  const [p50 = null, p95 = null, p99 = null] = row.bins.map((bin) => latencyMs(bin, row.duration_us_max));
  return {
    key,
    requestCount: row.request_count,
    errorRate: errorRate(row),
    p50Ms: p50,
    p95Ms: p95,
    p99Ms: p99,
  };
}

/** Errors by requests; 0 where there were no requests. */
export function errorRate(row: Pick<RequestSummaryRow, "error_count" | "request_count">): number {
  return row.request_count === 0 ? 0 : row.error_count / row.request_count;
}
