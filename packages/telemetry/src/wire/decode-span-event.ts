import { z } from "zod";
import { serializeAttributes, textAttribute } from "../attributes.ts";
import { endpointName } from "../endpoint-name.ts";
import { type Guards, NO_GUARDS } from "../guards.ts";
import { parseSpanId } from "../ids.ts";
import { peerServiceOf } from "../peer-service.ts";
import type { Decoded } from "../rejection.ts";
import { serviceResource } from "../resource.ts";
import { sampleRateWeight } from "../sample-weight.ts";
import type { Span } from "../span.ts";
import { SPAN_KIND, SPAN_KIND_NAMES } from "../span-kind.ts";
import { STATUS_CODE, STATUS_CODE_NAMES } from "../status-code.ts";
import {
  collectAttributes,
  commonFields,
  cut,
  HTTP_PATH_CHARACTERS_MAX,
  idOrNone,
  parseJsonObject,
  SPAN_NAME_CHARACTERS_MAX,
  spanId,
  text,
  traceId,
  validateEvent,
  word,
} from "./event-fields.ts";

/** A span that says it took longer than a leap year measured something else, and would own every maximum. */
export const DURATION_MS_MAX = 366 * 24 * 3_600_000;

const spanEvent = z.object({
  ...commonFields,
  type: z.literal("span"),
  trace_id: traceId,
  span_id: spanId,
  parent_span_id: idOrNone(parseSpanId, "must be 16 hex digits, or absent for a root span"),
  name: text.pipe(z.string().min(1, "must not be empty")),
  kind: word(SPAN_KIND_NAMES),
  duration_ms: z
    .number()
    .min(0, "must not be negative")
    .max(DURATION_MS_MAX, `must be at most ${DURATION_MS_MAX} (366 days)`),
  status: word(STATUS_CODE_NAMES),
});

const KNOWN_FIELDS: ReadonlySet<string> = new Set(Object.keys(spanEvent.shape));

/**
 * Decodes one span event of the JSON contract.
 * @param recordTimeMs the Kafka record's own time, used where the event carries none
 */
export function decodeSpanEvent(
  bytes: Uint8Array | null,
  recordTimeMs: number,
  guards: Guards = NO_GUARDS,
): Decoded<Span> {
  const object = parseJsonObject(bytes);
  if (!object.ok) return object;
  const validated = validateEvent(spanEvent, object.value);
  if (!validated.ok) return validated;
  const event = validated.value;
  const truncated: string[] = [];
  const spanName = cut(event.name, SPAN_NAME_CHARACTERS_MAX, "name", truncated);
  const httpPath =
    event.http_path === undefined
      ? null
      : cut(event.http_path, HTTP_PATH_CHARACTERS_MAX, "http_path", truncated);
  const attributes = guards.attributes(collectAttributes(object.value, KNOWN_FIELDS, event.labels));
  const spanKind = SPAN_KIND[event.kind];
  const httpMethod = event.http_method ?? null;
  return {
    ok: true,
    value: {
      startTimeUs: event.timestamp ?? recordTimeMs * 1_000,
      durationUs: Math.round(event.duration_ms * 1_000),
      traceId: event.trace_id,
      spanId: event.span_id,
      parentSpanId: event.parent_span_id,
      resource: serviceResource(event.service_name, event.environment),
      sampleWeight: sampleRateWeight(attributes.sample_rate),
      serviceName: event.service_name,
      environment: event.environment,
      spanName,
      endpoint: guards.endpoint(
        event.service_name,
        endpointName(spanName, httpMethod, textAttribute(attributes, "http.route"), httpPath),
      ),
      spanKind,
      statusCode: STATUS_CODE[event.status],
      peerService: peerServiceOf(spanKind, attributes),
      statusMessage: textAttribute(attributes, "error.message") ?? null,
      httpMethod,
      httpPath,
      httpStatusCode: event.http_status_code ?? null,
      attributesJson: serializeAttributes(attributes, truncated),
      eventsJson: null,
      linksJson: null,
    },
  };
}
