import { z } from "zod";
import { SPAN_KIND_NAMES } from "../span-kind.ts";
import { STATUS_CODE_NAMES } from "../status-code.ts";
import { labels, timestamp } from "./labels.ts";

/** A span as the API shows it. */
export const spanItem = z.strictObject({
  timestamp: timestamp.describe("When the span began: ISO 8601 in UTC with microseconds."),
  trace_id: z.string().describe("Trace id, 32 hex digits."),
  span_id: z.string().describe("Span id, 16 hex digits."),
  parent_span_id: z.string().nullable().describe("Span id of the caller; null for the root of a trace."),
  name: z.string().describe("Name of the operation."),
  kind: z.enum(SPAN_KIND_NAMES),
  duration_ms: z.number().describe("How long it took, in milliseconds; fractions count."),
  status: z.enum(STATUS_CODE_NAMES),
  service_name: z.string(),
  environment: z.string(),
  http_method: z.string().nullable(),
  http_path: z.string().nullable(),
  http_status_code: z.int().nullable(),
  labels,
});

export type SpanItem = z.infer<typeof spanItem>;

/** The orders that lists of spans come in. Ties are broken by start time, then by the order of arrival. */
export const SPAN_SORTS = ["start_time_desc", "start_time_asc", "duration_desc", "duration_asc"] as const;
export type SpanSort = (typeof SPAN_SORTS)[number];
