import type { Access } from "@timespan/telemetry/access";
import type { EndpointTraceList } from "@timespan/telemetry/api/endpoint-trace-list";
import { SPAN_KIND } from "@timespan/telemetry/span-kind";
import { STATUS_CODE } from "@timespan/telemetry/status-code";
import type { Database } from "../database.ts";
import { type Fragment, given, where } from "../query/filters.ts";
import { endpointTraceColumns } from "../query/item-columns.ts";
import { summarizeRequests } from "../query/observed-requests.ts";
import { timeParameter } from "../query/parameters.ts";
import { planSegments, type RollupUse, type Window } from "../query/request-segments.ts";
import { visibleRows } from "../query/visible-rows.ts";
import { longestSpansUs } from "../spans/longest-spans.ts";

export interface EndpointTracesQuestion {
  serviceName: string;
  endpoint: string;
  environment?: string | undefined;
  window: Window;
  /** Those that failed or, with a quantile 0..1, those that took at least that quantile of the endpoint's requests. */
  only?: "errors" | { slowQuantile: number } | undefined;
  limit: number;
}

/**
 * Requests of an endpoint, one trace each: the newest, the newest that failed, or the slowest that were slow.
 * @throws the driver's error where the database is away or the statement ran into its limit
 */
export async function listEndpointTraces(
  database: Database,
  access: Access,
  rollups: RollupUse,
  question: EndpointTracesQuestion,
): Promise<EndpointTraceList> {
  const { window, only, limit } = question;
  const matching = [
    database`service_name = ${question.serviceName}`,
    database`endpoint = ${question.endpoint}`,
    ...visibleRows(database, access),
    ...given(question.environment, (name) => database`environment = ${name}`),
  ];
  const requests = [
    ...matching,
    database`start_time >= ${timeParameter(database, window.fromUs)}`,
    database`start_time < ${timeParameter(database, window.toUs)}`,
    database`span_kind = ${SPAN_KIND.SERVER}`,
  ];
  if (typeof only === "object") {
    const total = database`(SELECT coalesce(sum(request_count), 0) FROM (${summarizeRequests(database, {
      grain: "endpoint",
      segments: planSegments("endpoint", window, null, rollups),
      key: () => database`endpoint`,
      matching,
      quantiles: [],
    })}) AS summary)`;
    const read = (among: readonly Fragment[]) =>
      readSlow(database, [...requests, ...among], total, only.slowQuantile, limit);
    const atLeastUs = await longestSpansUs(
      database,
      access,
      { ...question, range: window, kind: "SERVER" },
      limit,
      null,
    );
    const longest = atLeastUs === null ? [] : await read([database`duration_us >= ${atLeastUs}`]);
    return longest.length === limit ? longest : read([]);
  }
  return database<EndpointTraceList>`
SELECT ${endpointTraceColumns(database)}
FROM timespan.spans
${where(database, [...requests, ...(only === "errors" ? [database`status_code = ${STATUS_CODE.ERROR}`] : [])])}
ORDER BY start_time DESC, source_id DESC, source_offset DESC, source_index DESC
LIMIT ${limit}`;
}

/**
 * A request took at least the quantile q if those that took no longer are q of all: exactly what `percentile_disc`
 * means, without sorting more than the slowest.
 */
function readSlow(
  sql: Database,
  requests: readonly Fragment[],
  total: Fragment,
  quantile: number,
  limit: number,
): Promise<EndpointTraceList> {
  return sql<EndpointTraceList>`
SELECT ${endpointTraceColumns(sql)}
FROM (
  SELECT *,
    sum(sample_weight) OVER (
      ORDER BY duration_us DESC RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW EXCLUDE GROUP
    ) AS slower_count
  FROM (
    SELECT * FROM timespan.spans
    ${where(sql, [...requests])}
    ORDER BY duration_us DESC, start_time DESC, source_id DESC, source_offset DESC, source_index DESC
    LIMIT ${limit}
  ) AS slowest
) AS ranked, (SELECT ${total} AS total_count) AS counted
WHERE total_count - coalesce(slower_count, 0) >= ${quantile}::double precision * total_count
ORDER BY duration_us DESC, start_time DESC, source_id DESC, source_offset DESC, source_index DESC`;
}
