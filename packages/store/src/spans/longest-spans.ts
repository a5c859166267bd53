import type { Access } from "@timespan/telemetry/access";
import { SPAN_KIND, type SpanKindName } from "@timespan/telemetry/span-kind";
import type { TimeRange } from "@timespan/telemetry/time-range";
import type { Database } from "../database.ts";
import { given, where } from "../query/filters.ts";
import { timeParameter } from "../query/parameters.ts";
import { visibleRows } from "../query/visible-rows.ts";

/** What rollups know of spans. */
export interface LongestQuestion {
  range: TimeRange;
  serviceName?: string | undefined;
  environment?: string | undefined;
  kind?: SpanKindName | undefined;
  /** Asks the rollup by endpoint. */
  endpoint?: string | undefined;
}

const HOUR_US = 3_600_000_000;
const MINUTE_US = 60_000_000;

/**
 * A duration in microseconds that at least `rowCount` matching spans have, as close below the shortest of the longest
 * `rowCount` as stored rollups know; null where they do not know so many. Each row of a rollup stands for at least one
 * span as long as its maximum: so many of the longest maxima are so many spans. Spans may be gone that a rollup still
 * counts, so whoever uses it has to look whether it found enough.
 * @param belowUs spans must be shorter
 */
export async function longestSpansUs(
  sql: Database,
  access: Access,
  question: LongestQuestion,
  rowCount: number,
  belowUs: number | null,
): Promise<number | null> {
  const { range, serviceName, environment, kind, endpoint } = question;
  const grain = endpoint === undefined ? "service" : "endpoint";
  for (const [level, bucketUs] of [
    ["1h", HOUR_US],
    ["1m", MINUTE_US],
  ] as const) {
    const conditions = [
      given(serviceName, (name) => sql`service_name = ${name}`),
      given(endpoint, (name) => sql`endpoint = ${name}`),
      visibleRows(sql, access),
      given(environment, (name) => sql`environment = ${name}`),
      given(kind, (name) => sql`span_kind = ${SPAN_KIND[name]}`),
      // Whole buckets within the window, and of spans that are still there: rollups are kept much longer.
      [
        range.fromUs === null
          ? sql`bucket >= (SELECT start_time FROM timespan.spans ORDER BY start_time LIMIT 1)`
          : sql`bucket >= ${timeParameter(sql, range.fromUs)}`,
      ],
      given(range.toUs, (us) => sql`bucket <= ${timeParameter(sql, us - bucketUs)}`),
      given(belowUs, (us) => sql`duration_us_max < ${us}`),
    ];
    const [row] = await sql<{ duration_us: number }[]>`
SELECT duration_us_max::double precision AS duration_us
FROM ${sql(`timespan.${grain}_red_${level}_stored`)}
${where(sql, ...conditions)}
ORDER BY duration_us_max DESC
LIMIT 1
OFFSET ${rowCount - 1}`;
    if (row !== undefined) return row.duration_us;
  }
  return null;
}
