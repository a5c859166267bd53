import type { TimeUs } from "./timestamp.ts";

/** A span as Timespan holds it: canonical ids, OpenTelemetry's numbers, units in the names. */
export interface Span {
  startTimeUs: TimeUs;
  durationUs: number;
  /** 32 lower-case hex digits. */
  traceId: string;
  /** 16 lower-case hex digits. */
  spanId: string;
  /** Null for the root of a trace. */
  parentSpanId: string | null;
  serviceName: string;
  environment: string;
  spanName: string;
  /** See `SPAN_KIND`. */
  spanKind: number;
  /** See `STATUS_CODE`. */
  statusCode: number;
  httpMethod: string | null;
  httpPath: string | null;
  httpStatusCode: number | null;
  /** A JSON object, serialised and fit for `jsonb`: no NUL, no lone surrogate. */
  attributesJson: string;
}
