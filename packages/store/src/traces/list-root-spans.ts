import type { Access } from "@timespan/telemetry/access";
import type { RootSpanItem } from "@timespan/telemetry/api/root-span-item";
import type { SpanSort } from "@timespan/telemetry/api/span-item";
import type { Database } from "../database.ts";
import { rootSpanColumns } from "../query/item-columns.ts";
import { type ListPage, type PageRequest, readPage } from "../query/page.ts";
import { visibleRows } from "../query/visible-rows.ts";
import { SPAN_ORDER, type SpanFilter, spanConditions } from "../spans/list-spans.ts";

/**
 * The traces whose root span matches, in an order in which no two are equal, one page of them.
 * @throws the driver's error where the database is away or a statement ran into its limit
 */
export function listRootSpans(
  database: Database,
  access: Access,
  filter: SpanFilter,
  sort: SpanSort,
  request: PageRequest,
): Promise<ListPage<RootSpanItem>> {
  return readPage(
    database,
    {
      from: database`timespan.spans`,
      columns: rootSpanColumns(database),
      time: database`start_time`,
      duration: database`duration_us`,
      matching: [
        ...visibleRows(database, access),
        ...spanConditions(database, filter),
        database`parent_span_id IS NULL`,
      ],
      order: SPAN_ORDER[sort],
    },
    request,
  );
}
