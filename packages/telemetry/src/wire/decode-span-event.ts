import { z } from "zod";
import { serializeAttributes, textAttribute } from "../attributes.ts";
import { endpointName } from "../endpoint-name.ts";
import { environmentName } from "../environment-name.ts";
import { type Guards, NO_GUARDS } from "../guards.ts";
import { parseSpanId, parseTraceId } from "../ids.ts";
import { peerServiceOf } from "../peer-service.ts";
import { type Decoded, reject, storableText } from "../rejection.ts";
import { serviceResource } from "../resource.ts";
import { sampleRateWeight } from "../sample-weight.ts";
import type { Span } from "../span.ts";
import { SPAN_KIND, SPAN_KIND_NAMES } from "../span-kind.ts";
import { STATUS_CODE, STATUS_CODE_NAMES } from "../status-code.ts";
import {
  checkShape,
  collectAttributes,
  commonFields,
  cut,
  HTTP_PATH_CHARACTERS_MAX,
  oneOf,
  type Problems,
  parseJsonObject,
  readIdOrNone,
  readText,
  readTime,
  SPAN_NAME_CHARACTERS_MAX,
} from "./event-fields.ts";

/** A span that says it took longer than a leap year measured something else, and would own every maximum. */
export const DURATION_MS_MAX = 366 * 24 * 3_600_000;

const spanEvent = z.object({
  ...commonFields,
  type: z.literal("span"),
  trace_id: z.string(),
  span_id: z.string(),
  parent_span_id: z.string().nullish(),
  name: z.string().min(1, "must not be empty"),
  kind: z.string(),
  duration_ms: z
    .number()
    .min(0, "must not be negative")
    .max(DURATION_MS_MAX, `must be at most ${DURATION_MS_MAX} (366 days)`),
  status: z.string(),
});

const KNOWN_FIELDS: ReadonlySet<string> = new Set(Object.keys(spanEvent.shape));
const kind = oneOf(SPAN_KIND_NAMES);
const status = oneOf(STATUS_CODE_NAMES);

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
  const given = object.value;
  const problems: Problems = [];
  const event = checkShape(spanEvent, given, problems);
  const startTimeUs = readTime(given, recordTimeMs, problems);
  const traceId = readText(
    given,
    "trace_id",
    parseTraceId,
    "must be 32 (or 16) hex digits, not all zero",
    problems,
  );
  const spanId = readText(given, "span_id", parseSpanId, "must be 16 hex digits, not all zero", problems);
  const parentSpanId = readIdOrNone(
    given,
    "parent_span_id",
    parseSpanId,
    "must be 16 hex digits, or absent for a root span",
    problems,
  );
  const kindName = readText(given, "kind", kind.parse, kind.message, problems);
  const statusName = readText(given, "status", status.parse, status.message, problems);
  if (
    event === undefined ||
    traceId === undefined ||
    spanId === undefined ||
    kindName === undefined ||
    statusName === undefined ||
    problems.length > 0
  ) {
    return reject("invalid_event", problems.join("; "));
  }

  const serviceName = storableText(event.service_name);
  const environment = environmentName(storableText(event.environment));
  const truncated: string[] = [];
  const spanName = cut(event.name, SPAN_NAME_CHARACTERS_MAX, "name", truncated);
  const httpMethod = typeof event.http_method === "string" ? storableText(event.http_method) : null;
  const httpPath =
    typeof event.http_path === "string"
      ? cut(event.http_path, HTTP_PATH_CHARACTERS_MAX, "http_path", truncated)
      : null;
  const attributes = guards.attributes(collectAttributes(given, KNOWN_FIELDS, event.labels));
  const spanKind = SPAN_KIND[kindName];
  return {
    ok: true,
    value: {
      startTimeUs,
      durationUs: Math.round(event.duration_ms * 1_000),
      traceId,
      spanId,
      parentSpanId,
      resource: serviceResource(serviceName, environment),
      sampleWeight: sampleRateWeight(attributes.sample_rate),
      serviceName,
      environment,
      spanName,
      endpoint: guards.endpoint(
        serviceName,
        endpointName(spanName, httpMethod, textAttribute(attributes, "http.route"), httpPath),
      ),
      spanKind,
      statusCode: STATUS_CODE[statusName],
      peerService: peerServiceOf(spanKind, attributes),
      statusMessage: textAttribute(attributes, "error.message") ?? null,
      httpMethod,
      httpPath,
      httpStatusCode: event.http_status_code == null ? null : Number(event.http_status_code),
      attributesJson: serializeAttributes(attributes, truncated),
      eventsJson: null,
      linksJson: null,
    },
  };
}
