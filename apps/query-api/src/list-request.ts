import type { LabelFilter, ListPage, PageRequest } from "@timespan/store/query/page";
import { COUNTED_ITEMS_MAX } from "@timespan/telemetry/api/list-answer";
import {
  CURSOR_CHARACTERS_MAX,
  type Cursor,
  decodeCursor,
  encodeCursor,
  queryFingerprint,
} from "@timespan/telemetry/cursor";
import { resolveTimeRange, type TimeRange } from "@timespan/telemetry/time-range";
import type { z } from "zod";
import { readParameters, text, time, wholeNumber, withDefault } from "./parameters.ts";
import type { ParameterProblem } from "./problem.ts";

const ITEMS_DEFAULT = 50;

/** The parameters that every list takes; `sort` and the filters are the list's own. */
export const listParameters = (sizeMax: number) => ({
  from: time("Start of the window, included."),
  to: time("End of the window, not included."),
  page: wholeNumber(1, COUNTED_ITEMS_MAX).optional().describe("Number of the page, from 1."),
  size: withDefault(wholeNumber(1, sizeMax), ITEMS_DEFAULT).describe("Most items of a page."),
  cursor: text(CURSOR_CHARACTERS_MAX).optional().describe("next_cursor of the page before."),
});

type ListSchema = z.ZodObject<ReturnType<typeof listParameters> & { sort: z.ZodType<string> }>;

/** What a client asks of a list. */
export interface ListRequest<S extends ListSchema> {
  parameters: z.output<S>;
  labels: LabelFilter[];
  range: TimeRange;
  page: PageRequest;
  /** As the answer tells it: also pages that a cursor led to are counted. */
  pageNumber: number;
  query: string;
}

export interface ListDefinition<S extends ListSchema> {
  /** Name of the list, part of its cursors. */
  name: string;
  schema: S;
  /** Without it, a window that was not given is open. */
  defaultWindowMs?: number;
  /** Problems between parameters of this list. */
  check?(values: Partial<z.output<S>>): ParameterProblem[];
}

/**
 * Reads the request for a page of a list, or says everything that is wrong with it.
 * @param path parameters of the path that belong to the query
 */
export function readListRequest<S extends ListSchema>(
  { name, schema, defaultWindowMs, check }: ListDefinition<S>,
  search: URLSearchParams,
  nowMs: number,
  path: Readonly<Record<string, string>> = {},
): { ok: true; request: ListRequest<S> } | { ok: false; problems: ParameterProblem[] } {
  const { values, labels, problems } = readParameters(search, schema, { labels: true });
  problems.push(...(check?.(values) ?? []));
  const { cursor: cursorText, page, size, ...filters } = values as Partial<z.output<ListSchema>>;

  let cursor: Cursor | undefined;
  let range: TimeRange = { fromUs: null, toUs: null };
  const query = queryFingerprint(name, {
    ...filters,
    ...path,
    labels: labels.toSorted((a, b) => (a.key < b.key ? -1 : 1)),
  });
  if (cursorText !== undefined) {
    if (page !== undefined) problems.push({ name: "page", reason: "must not be combined with cursor" });
    // A filter that could not be read is missing from the fingerprint: then only the form is looked at.
    const decoded = decodeCursor(cursorText, problems.length === 0 ? query : undefined);
    if (decoded.ok) cursor = decoded.cursor;
    else problems.push({ name: "cursor", reason: decoded.reason });
  } else {
    if ((page ?? 1) * (size ?? 1) > COUNTED_ITEMS_MAX) {
      problems.push({
        name: "page",
        reason: `times size must not exceed ${COUNTED_ITEMS_MAX}; go on with cursor, from next_cursor of the page before`,
      });
    }
    const resolved = resolveTimeRange(filters, nowMs, defaultWindowMs);
    if (resolved.ok) range = resolved.range;
    else problems.push(...resolved.problems);
  }
  if (problems.length > 0 || size === undefined) return { ok: false, problems };
  const pageNumber = cursor?.page ?? page ?? 1;
  return {
    ok: true,
    request: {
      // Complete, as there was no problem.
      parameters: values as z.output<S>,
      labels,
      range: cursor?.range ?? range,
      page:
        cursor === undefined
          ? { size, page: pageNumber }
          : { size, after: cursor.after, total: cursor.total },
      pageNumber,
      query,
    },
  };
}

/** The answer to `request`, in the words of the API. */
export function listAnswer<S extends ListSchema, Item>(request: ListRequest<S>, page: ListPage<Item>) {
  const { query, range, pageNumber } = request;
  // One above the limit stands for "more" from one page to the next.
  const total = page.totalIsExact ? page.total : COUNTED_ITEMS_MAX + 1;
  return {
    total: page.total,
    total_relation: page.totalIsExact ? ("eq" as const) : ("gte" as const),
    page: pageNumber,
    size: request.page.size,
    items: page.items,
    next_cursor:
      page.next === null
        ? null
        : encodeCursor({ query, range, page: pageNumber + 1, total, after: page.next }),
  };
}
