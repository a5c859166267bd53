import { z } from "zod";
import { logItem } from "./log-item.ts";
import { spanItem } from "./span-item.ts";

/** What a whole trace amounts to, whatever part of it was asked for. */
export const traceSummary = z.strictObject({
  span_count: z.int().describe("Spans of the trace, identical ones counted once."),
  error_count: z.int().describe("Spans with status ERROR."),
  duration_ms: z
    .number()
    .nullable()
    .describe("First start to last end, in milliseconds; null without spans."),
  start_time: z.string().nullable().describe("Start of the first span; null without spans."),
  service_count: z.int().describe("Distinct services with a span in it."),
  root_span_id: z
    .string()
    .nullable()
    .describe("The first span without a parent; null while it has not arrived."),
  orphan_span_count: z.int().describe("Spans whose parent is not among the spans."),
  complete: z
    .boolean()
    .describe("It has a root, no orphans, and all of it was read. More spans may still arrive."),
});

/** A trace: its spans by start time and its logs by time, both oldest first. */
export const traceAnswer = z.strictObject({
  trace_id: z.string().describe("Trace id, 32 hex digits."),
  summary: traceSummary,
  spans: z.array(spanItem),
  spans_truncated: z.boolean().describe("There are more spans than are shown."),
  logs: z.array(logItem),
  logs_truncated: z.boolean().describe("There are more logs than are shown."),
});

export type TraceSummary = z.infer<typeof traceSummary>;
export type TraceAnswer = z.infer<typeof traceAnswer>;
