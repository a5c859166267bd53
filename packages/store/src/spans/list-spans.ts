import type { Access } from "@timespan/telemetry/access";
import type { SpanItem, SpanSort } from "@timespan/telemetry/api/span-item";
import { SPAN_KIND, type SpanKindName } from "@timespan/telemetry/span-kind";
import { STATUS_CODE, type StatusCodeName } from "@timespan/telemetry/status-code";
import type { TimeRange } from "@timespan/telemetry/time-range";
import type { Database } from "../database.ts";
import { type Fragment, given } from "../query/filters.ts";
import { spanItemColumns } from "../query/item-columns.ts";
import { type LabelFilter, type List, type ListPage, type PageRequest, readPage } from "../query/page.ts";
import { spanIdParameter, timeParameter } from "../query/parameters.ts";
import { visibleRows } from "../query/visible-rows.ts";
import { longestSpansUs } from "./longest-spans.ts";

/** What a span must match; what is absent does not matter. Ids are canonical hex. */
export interface SpanFilter {
  range: TimeRange;
  serviceName?: string | undefined;
  environment?: string | undefined;
  name?: string | undefined;
  kind?: SpanKindName | undefined;
  status?: StatusCodeName | undefined;
  /** Both ends included. */
  minDurationUs?: number | undefined;
  maxDurationUs?: number | undefined;
  traceId?: string | undefined;
  parentSpanId?: string | undefined;
  labels?: readonly LabelFilter[];
}

/**
 * The spans that match and may be seen, in an order in which no two are equal, one page of them.
 * @throws the driver's error where the database is away or the statement ran into its limit
 */
export function listSpans(
  database: Database,
  access: Access,
  filter: SpanFilter,
  sort: SpanSort,
  request: PageRequest,
): Promise<ListPage<SpanItem>> {
  return readPage(
    database,
    {
      from: database`timespan.spans`,
      columns: spanItemColumns(database),
      time: database`start_time`,
      duration: database`duration_us`,
      matching: [...visibleRows(database, access), ...spanConditions(database, filter)],
      dense: isDense(filter),
      longestAtLeastUs: isDense(filter)
        ? (rowCount, belowUs) => longestSpansUs(database, access, filter, rowCount, belowUs)
        : undefined,
      order: SPAN_ORDER[sort],
    },
    request,
  );
}

/** Whether nothing is asked for that few spans may have. */
export function isDense(filter: SpanFilter): boolean {
  const { name, status, minDurationUs, maxDurationUs, traceId, parentSpanId, labels = [] } = filter;
  const rare = [name, status, minDurationUs, maxDurationUs, traceId, parentSpanId];
  return labels.length === 0 && rare.every((value) => value === undefined);
}

/** What each sort of the API means to a list. */
export const SPAN_ORDER = {
  start_time_desc: { by: "time", descending: true },
  start_time_asc: { by: "time", descending: false },
  duration_desc: { by: "duration", descending: true },
  duration_asc: { by: "duration", descending: false },
} as const satisfies Record<SpanSort, List["order"]>;

export function spanConditions(sql: Database, filter: SpanFilter): Fragment[] {
  return [
    given(filter.serviceName, (name) => sql`service_name = ${name}`),
    given(filter.range.fromUs, (fromUs) => sql`start_time >= ${timeParameter(sql, fromUs)}`),
    given(filter.range.toUs, (toUs) => sql`start_time < ${timeParameter(sql, toUs)}`),
    given(filter.traceId, (id) => sql`trace_id = ${id}::uuid`),
    given(filter.environment, (name) => sql`environment = ${name}`),
    given(filter.name, (name) => sql`span_name = ${name}`),
    given(filter.kind, (kind) => sql`span_kind = ${SPAN_KIND[kind]}`),
    given(filter.status, (status) => sql`status_code = ${STATUS_CODE[status]}`),
    given(filter.minDurationUs, (us) => sql`duration_us >= ${us}`),
    given(filter.maxDurationUs, (us) => sql`duration_us <= ${us}`),
    given(filter.parentSpanId, (id) => sql`parent_span_id = ${spanIdParameter(sql, id)}`),
    ...(filter.labels ?? []).map(({ key, value }) => [sql`attributes ->> ${key} = ${value}`]),
  ].flat();
}
