import { z } from "zod";
import { STATUS_CODE_NAMES } from "../status-code.ts";
import { labels, timestamp } from "./labels.ts";

/** A trace by its root span, as lists of traces show it. */
export const rootSpanItem = z.strictObject({
  trace_id: z.string().describe("Trace id, 32 hex digits."),
  root_span_name: z.string().describe("Name of the operation."),
  status: z.enum(STATUS_CODE_NAMES).describe("Status of the root span."),
  duration_ms: z.number().describe("How long the root span took, in milliseconds; fractions count."),
  start_time: timestamp.describe("When it began: ISO 8601 in UTC with microseconds."),
  service_name: z.string(),
  environment: z.string(),
  labels,
});

export type RootSpanItem = z.infer<typeof rootSpanItem>;
