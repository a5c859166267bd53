import { z } from "zod";
import type { LogRecord } from "../log-record.ts";
import { SEVERITY_NUMBER } from "../severity.ts";
import { formatTimestamp } from "../timestamp.ts";
import { cut } from "./event-fields.ts";

/**
 * Limits of a forwarded error. A broker takes records of about 1 MB; an error that is larger is still worth seeing,
 * so its message is cut and its labels are left out. The stored log has them.
 */
export const FORWARDED_MESSAGE_CHARACTERS_MAX = 32_768;
export const FORWARDED_LABELS_CHARACTERS_MAX = 65_536;

/** An ERROR log on its way to the live channel: the log event of the contract with an id. */
export const errorEvent = z.object({
  type: z.literal("log"),
  /** Equal for every delivery of the same log, so that readers can drop repeats. */
  event_id: z.string().min(1),
  timestamp: z.string(),
  service_name: z.string(),
  environment: z.string(),
  level: z.literal("ERROR"),
  message: z.string(),
  trace_id: z.string().optional(),
  span_id: z.string().optional(),
  labels: z.record(z.string(), z.unknown()).optional(),
});

export type ErrorEvent = z.infer<typeof errorEvent>;

/** Fields that {@link errorEvent} cannot do without. */
const REQUIRED_FIELDS = 7;

export function isError(log: LogRecord): boolean {
  return log.severityNumber >= SEVERITY_NUMBER.ERROR;
}

/** The id of the log that stands at `index` in the record at `offset` of the partition named by `sourceId`. */
export function errorEventId(sourceId: number, offset: number, index: number): string {
  return `${sourceId}-${offset}-${index}`;
}

/** The JSON that is forwarded for `log`. */
export function encodeErrorEvent(log: LogRecord, eventId: string): string {
  return JSON.stringify(
    limitErrorEvent(
      {
        type: "log",
        event_id: eventId,
        timestamp: formatTimestamp(log.timeUs),
        service_name: log.serviceName,
        environment: log.environment,
        level: "ERROR",
        message: log.body,
        trace_id: log.traceId ?? undefined,
        span_id: log.spanId ?? undefined,
      },
      log.attributesJson,
    ),
  );
}

/** `event` with the labels of `labelsJson`, within the limits of a forwarded error: what is too long is cut and named. */
export function limitErrorEvent(event: Omit<ErrorEvent, "labels">, labelsJson: string): ErrorEvent {
  const truncated: string[] = [];
  const message = cut(event.message, FORWARDED_MESSAGE_CHARACTERS_MAX, "message", truncated);
  const fits = labelsJson.length <= FORWARDED_LABELS_CHARACTERS_MAX;
  if (!fits) truncated.push("labels");
  const labels: Record<string, unknown> = fits ? JSON.parse(labelsJson) : {};
  if (truncated.length > 0) labels["timespan.truncated"] = truncated;
  return { ...event, message, labels };
}

/** An event that was read, and what clients get of it. */
export interface DecodedErrorEvent {
  event: ErrorEvent;
  /** The event without its type, as JSON in one line. */
  data: string;
}

/** What {@link encodeErrorEvent} begins with. */
const TYPE_FIRST = '{"type":"log",';

/** The event in a forwarded record, or `undefined` where somebody else wrote something else there. */
export function decodeErrorEvent(value: Uint8Array | null): DecodedErrorEvent | undefined {
  if (value === null) return undefined;
  try {
    const text = Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("utf8");
    const parsed: unknown = JSON.parse(text);
    // What the stream-processor writes is neither copied nor written anew: this is done for every error of a storm.
    if (text.startsWith(TYPE_FIRST) && !text.includes("\n") && !text.includes("\r") && isErrorEvent(parsed)) {
      return { event: parsed, data: `{${text.slice(TYPE_FIRST.length)}` };
    }
    const { success, data: event } = errorEvent.safeParse(parsed);
    if (!success) return undefined;
    const { type: _, ...data } = event;
    return { event, data: JSON.stringify(data) };
  } catch {
    return undefined;
  }
}

/** Whether {@link errorEvent} would take `value` and leave nothing of it out; several times as fast. */
function isErrorEvent(value: unknown): value is ErrorEvent {
  if (typeof value !== "object" || value === null) return false;
  let required = 0;
  for (const [name, field] of Object.entries(value)) {
    switch (name) {
      case "type":
        if (field !== "log") return false;
        required++;
        break;
      case "level":
        if (field !== "ERROR") return false;
        required++;
        break;
      case "event_id":
        if (typeof field !== "string" || field === "") return false;
        required++;
        break;
      case "timestamp":
      case "service_name":
      case "environment":
      case "message":
        if (typeof field !== "string") return false;
        required++;
        break;
      case "trace_id":
      case "span_id":
        if (typeof field !== "string") return false;
        break;
      case "labels":
        if (typeof field !== "object" || field === null || Array.isArray(field)) return false;
        break;
      default:
        return false;
    }
  }
  return required === REQUIRED_FIELDS;
}
