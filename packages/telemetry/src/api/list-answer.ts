import { z } from "zod";
import { logItem } from "./log-item.ts";
import { rootSpanItem } from "./root-span-item.ts";
import { spanItem } from "./span-item.ts";

/** Up to here a list is counted, and up to here it can be read by page number; beyond, cursors go on. */
export const COUNTED_ITEMS_MAX = 10_000;

/** `eq`: the total is exact. `gte`: there are at least so many. */
export const totalRelation = z.enum(["eq", "gte"]);

const page = {
  total: z
    .int()
    .describe(`How many match, exact up to ${COUNTED_ITEMS_MAX}. A cursor repeats the first page's.`),
  total_relation: totalRelation.describe("eq: total is exact; gte: there are at least so many."),
  page: z.int().describe("Number of this page, from 1."),
  size: z.int().describe("Most items of a page."),
  next_cursor: z
    .string()
    .nullable()
    .describe("Sent as `cursor`, with the same filters, it continues after the last item; null at the end."),
};

export const spanList = z.strictObject({ ...page, items: z.array(spanItem) });
export type SpanList = z.infer<typeof spanList>;

export const rootSpanList = z.strictObject({ ...page, traces: z.array(rootSpanItem) });
export type RootSpanList = z.infer<typeof rootSpanList>;

export const logList = z.strictObject({ ...page, items: z.array(logItem) });
export type LogList = z.infer<typeof logList>;
