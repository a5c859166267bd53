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
  collectAttributes,
  cut,
  HTTP_PATH_CHARACTERS_MAX,
  NAME_CHARACTERS_MAX,
  oneOf,
  type Problems,
  parseJsonObject,
  readHttpStatusCode,
  readIdOrNone,
  readLabels,
  readName,
  readNumber,
  readOptionalText,
  readRequiredText,
  readText,
  readTime,
  readType,
  SPAN_NAME_CHARACTERS_MAX,
} from "./event-fields.ts";

/** A span that says it took longer than a leap year measured something else, and would own every maximum. */
export const DURATION_MS_MAX = 366 * 24 * 3_600_000;

/** The fields that are read; every other is an attribute. */
const KNOWN_FIELDS: ReadonlySet<string> = new Set([
  "type",
  "timestamp",
  "service_name",
  "environment",
  "trace_id",
  "span_id",
  "parent_span_id",
  "name",
  "kind",
  "duration_ms",
  "status",
  "http_method",
  "http_path",
  "http_status_code",
  "labels",
]);
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
  readType(given, "span", problems);
  const startTimeUs = readTime(given, recordTimeMs, problems);
  const serviceName = readName(given, "service_name", problems);
  const environment = environmentName(readName(given, "environment", problems));
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
  const name = readRequiredText(given, "name", problems);
  if (name === "") problems.push("name: must not be empty");
  const durationMs = readNumber(given, "duration_ms", DURATION_MS_MAX, problems);
  const method = readOptionalText(given, "http_method", NAME_CHARACTERS_MAX, problems);
  const path = readOptionalText(given, "http_path", Number.POSITIVE_INFINITY, problems);
  const httpStatusCode = readHttpStatusCode(given, problems);
  const labels = readLabels(given, problems);
  if (
    traceId === undefined ||
    spanId === undefined ||
    kindName === undefined ||
    statusName === undefined ||
    problems.length > 0
  ) {
    return reject("invalid_event", problems.join("; "));
  }

  const truncated: string[] = [];
  const httpMethod = method === null ? null : storableText(method);
  const spanName = cut(name, SPAN_NAME_CHARACTERS_MAX, "name", truncated);
  const httpPath = path === null ? null : cut(path, HTTP_PATH_CHARACTERS_MAX, "http_path", truncated);
  const attributes = guards.attributes(collectAttributes(given, KNOWN_FIELDS, labels));
  const spanKind = SPAN_KIND[kindName];
  return {
    ok: true,
    value: {
      startTimeUs,
      durationUs: Math.round(durationMs * 1_000),
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
      httpStatusCode,
      attributesJson: serializeAttributes(attributes, truncated),
      eventsJson: null,
      linksJson: null,
    },
  };
}
