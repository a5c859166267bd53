import type { Resource } from "./resource.ts";
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
  resource: Resource;
  /** How many spans this one stands for, at least 1, in steps of 1/1024: more where the client sampled. */
  sampleWeight: number;
  serviceName: string;
  environment: string;
  spanName: string;
  /** See `SPAN_KIND`. */
  spanKind: number;
  /** See `STATUS_CODE`. */
  statusCode: number;
  /** The operation with ids taken out; see `endpointName`. */
  endpoint: string;
  /** Whom a client or producer span called, where it says so. */
  peerService: string | null;
  statusMessage: string | null;
  httpMethod: string | null;
  httpPath: string | null;
  httpStatusCode: number | null;
  /** A JSON object, serialised and fit for `jsonb`: no NUL, no lone surrogate. */
  attributesJson: string;
  /** A JSON array of `{time, name, attributes}`, fit for `jsonb`; null where there are none. */
  eventsJson: string | null;
  /** A JSON array of `{trace_id, span_id, attributes}`, fit for `jsonb`; null where there are none. */
  linksJson: string | null;
}
