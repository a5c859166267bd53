import { z } from "zod";
import { serializeAttributes } from "../attributes.ts";
import { type Guards, NO_GUARDS } from "../guards.ts";
import { parseSpanId, parseTraceId } from "../ids.ts";
import type { LogRecord } from "../log-record.ts";
import type { Decoded } from "../rejection.ts";
import { serviceResource } from "../resource.ts";
import { LOG_LEVELS, SEVERITY_NUMBER } from "../severity.ts";
import {
  BODY_CHARACTERS_MAX,
  collectAttributes,
  commonFields,
  cut,
  idOrNone,
  parseJsonObject,
  text,
  validateEvent,
  word,
} from "./event-fields.ts";

const logEvent = z.object({
  ...commonFields,
  type: z.literal("log"),
  level: word(LOG_LEVELS),
  message: text,
  trace_id: idOrNone(parseTraceId, "must be 32 (or 16) hex digits, or absent"),
  span_id: idOrNone(parseSpanId, "must be 16 hex digits, or absent"),
});

/** The http fields of a log have no column: they stay among its labels, where the API shows them. */
const KNOWN_FIELDS: ReadonlySet<string> = new Set(
  Object.keys(logEvent.shape).filter((field) => !field.startsWith("http_")),
);

/**
 * Decodes one log event of the JSON contract.
 * @param recordTimeMs the Kafka record's own time, used where the event carries none
 */
export function decodeLogEvent(
  bytes: Uint8Array | null,
  recordTimeMs: number,
  guards: Guards = NO_GUARDS,
): Decoded<LogRecord> {
  const object = parseJsonObject(bytes);
  if (!object.ok) return object;
  const validated = validateEvent(logEvent, object.value);
  if (!validated.ok) return validated;
  const event = validated.value;
  const truncated: string[] = [];
  const body = cut(event.message, BODY_CHARACTERS_MAX, "message", truncated);
  return {
    ok: true,
    value: {
      timeUs: event.timestamp ?? recordTimeMs * 1_000,
      resource: serviceResource(event.service_name, event.environment),
      serviceName: event.service_name,
      environment: event.environment,
      severityNumber: SEVERITY_NUMBER[event.level],
      severityText: event.level,
      body,
      traceId: event.trace_id,
      spanId: event.span_id,
      attributesJson: serializeAttributes(
        guards.attributes(collectAttributes(object.value, KNOWN_FIELDS, event.labels)),
        truncated,
      ),
    },
  };
}
