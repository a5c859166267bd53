import { z } from "zod";
import { STATUS_CODE_NAMES } from "../status-code.ts";
import { timestamp } from "./labels.ts";

/** What is asked of an endpoint's requests: those that failed, or those that were slow. */
export const ENDPOINT_TRACE_STATUSES = ["ERROR", "SLOW"] as const;
export type EndpointTraceStatus = (typeof ENDPOINT_TRACE_STATUSES)[number];

/** Answer of `/query/services/:serviceName/endpoints/:endpointName/traces`: requests, each with its trace. */
export const endpointTraceList = z.array(
  z.strictObject({
    traceId: z.string().describe("Trace id, 32 hex digits."),
    spanId: z.string().describe("Span id of the request, 16 hex digits."),
    timestamp: timestamp.describe("When the request began: ISO 8601 in UTC with microseconds."),
    durationMs: z.number().describe("How long it took, in milliseconds."),
    status: z.enum(STATUS_CODE_NAMES),
    serviceName: z.string(),
    environment: z.string(),
  }),
);

export type EndpointTraceList = z.infer<typeof endpointTraceList>;
