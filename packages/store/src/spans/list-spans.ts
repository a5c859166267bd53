import type { Access } from "@timespan/telemetry/access";
import { COUNTED_ITEMS_MAX } from "@timespan/telemetry/api/list-answer";
import type { SpanItem, SpanSort } from "@timespan/telemetry/api/span-item";
import type { Position } from "@timespan/telemetry/cursor";
import { SPAN_KIND, type SpanKindName } from "@timespan/telemetry/span-kind";
import { STATUS_CODE, type StatusCodeName } from "@timespan/telemetry/status-code";
import type { TimeRange } from "@timespan/telemetry/time-range";
import type { Database } from "../database.ts";
import { type Fragment, given, where } from "../query/filters.ts";
import { spanItemColumns } from "../query/item-columns.ts";
import {
  buildPage,
  type LabelFilter,
  type ListPage,
  type PageRequest,
  type PositionRow,
} from "../query/page.ts";
import { spanIdParameter, timeParameter } from "../query/parameters.ts";
import { visibleRows } from "../query/visible-rows.ts";

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
export async function listSpans(
  database: Database,
  access: Access,
  filter: SpanFilter,
  sort: SpanSort,
  request: PageRequest,
): Promise<ListPage<SpanItem>> {
  const order = spanOrder(database, sort);
  const matching = [...visibleRows(database, access), ...spanConditions(database, filter)];
  // The page is cut out first: only its rows are put into words, not every row that is sorted.
  const rows = await database<(SpanItem & PositionRow)[]>`
SELECT ${spanItemColumns(database)},
  ARRAY[(extract(epoch FROM start_time) * 1000000)::bigint, duration_us, source_id, source_offset, source_index] AS position
FROM (
  SELECT * FROM timespan.spans
  ${where(database, matching, "after" in request ? order.after(request.after) : [])}
  ORDER BY ${order.by}
  LIMIT ${request.size + 1}
  OFFSET ${"page" in request ? (request.page - 1) * request.size : 0}
) AS page
ORDER BY ${order.by}`;
  return buildPage(request, rows, () => countSpans(database, matching));
}

async function countSpans(database: Database, matching: Fragment[]): Promise<number> {
  const [row] = await database<{ counted: number }[]>`
SELECT count(*)::integer AS counted
FROM (
  SELECT FROM timespan.spans
  ${where(database, matching)}
  LIMIT ${COUNTED_ITEMS_MAX + 1}
) AS matching`;
  return row?.counted ?? 0;
}

function spanConditions(sql: Database, filter: SpanFilter): Fragment[] {
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

interface Order {
  by: Fragment;
  after(position: Position): Fragment[];
}

/**
 * The bound on the first key is implied by the row comparison, but only said alone does it exclude partitions and
 * chunks.
 */
function spanOrder(sql: Database, sort: SpanSort): Order {
  const time = ({ timeUs }: Position) => timeParameter(sql, timeUs);
  const source = ({ sourceId, sourceOffset, sourceIndex }: Position) =>
    sql`${sourceId}::smallint, ${sourceOffset}::bigint, ${sourceIndex}::integer`;
  switch (sort) {
    case "start_time_desc":
      return {
        by: sql`start_time DESC, source_id DESC, source_offset DESC, source_index DESC`,
        after: (at) => [
          sql`start_time <= ${time(at)}`,
          sql`(start_time, source_id, source_offset, source_index) < (${time(at)}, ${source(at)})`,
        ],
      };
    case "start_time_asc":
      return {
        by: sql`start_time, source_id, source_offset, source_index`,
        after: (at) => [
          sql`start_time >= ${time(at)}`,
          sql`(start_time, source_id, source_offset, source_index) > (${time(at)}, ${source(at)})`,
        ],
      };
    case "duration_desc":
      return {
        by: sql`duration_us DESC, start_time DESC, source_id DESC, source_offset DESC, source_index DESC`,
        after: (at) => [
          sql`duration_us <= ${at.durationUs}`,
          sql`(duration_us, start_time, source_id, source_offset, source_index) < (${at.durationUs}::bigint, ${time(at)}, ${source(at)})`,
        ],
      };
    case "duration_asc":
      return {
        by: sql`duration_us, start_time, source_id, source_offset, source_index`,
        after: (at) => [
          sql`duration_us >= ${at.durationUs}`,
          sql`(duration_us, start_time, source_id, source_offset, source_index) > (${at.durationUs}::bigint, ${time(at)}, ${source(at)})`,
        ],
      };
  }
}
