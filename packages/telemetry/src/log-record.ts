import type { LogPattern } from "./log-pattern.ts";
import type { Resource } from "./resource.ts";
import type { TimeUs } from "./timestamp.ts";

/** A log record as Timespan holds it, in the terms of OpenTelemetry's log data model. */
export interface LogRecord {
  timeUs: TimeUs;
  resource: Resource;
  serviceName: string;
  environment: string;
  /** See `SEVERITY_NUMBER`. */
  severityNumber: number;
  severityText: string;
  body: string;
  pattern: LogPattern;
  traceId: string | null;
  spanId: string | null;
  /** A JSON object, serialised and fit for `jsonb`: no NUL, no lone surrogate. */
  attributesJson: string;
}
