import { z } from "zod";
import { labels, timestamp } from "./labels.ts";

/** A log record as the API shows it. */
export const logItem = z.strictObject({
  timestamp: timestamp.describe("When it happened: ISO 8601 in UTC with microseconds."),
  level: z.string().describe("DEBUG, INFO, WARN or ERROR."),
  message: z.string(),
  service_name: z.string(),
  environment: z.string(),
  trace_id: z.string().nullable().describe("Trace id, 32 hex digits; null where it belongs to no trace."),
  span_id: z.string().nullable().describe("Span id, 16 hex digits; null where it belongs to no span."),
  labels,
});

export type LogItem = z.infer<typeof logItem>;

/** By time, newest or oldest first. */
export const LOG_SORTS = ["desc", "asc"] as const;
export type LogSort = (typeof LOG_SORTS)[number];
