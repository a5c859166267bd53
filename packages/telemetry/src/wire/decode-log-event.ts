import { serializeAttributes } from "../attributes.ts";
import { environmentName } from "../environment-name.ts";
import { type Guards, NO_GUARDS } from "../guards.ts";
import { parseSpanId, parseTraceId } from "../ids.ts";
import { logPattern, patternText } from "../log-pattern.ts";
import type { LogRecord } from "../log-record.ts";
import { type Decoded, reject } from "../rejection.ts";
import { serviceResource } from "../resource.ts";
import { LOG_LEVELS, SEVERITY_NUMBER } from "../severity.ts";
import {
  BODY_CHARACTERS_MAX,
  collectAttributes,
  cut,
  NAME_CHARACTERS_MAX,
  oneOf,
  type Problems,
  parseJsonObject,
  readHttpStatusCode,
  readIdOrNone,
  readLabels,
  readName,
  readOptionalText,
  readRequiredText,
  readText,
  readTime,
  readType,
} from "./event-fields.ts";

/**
 * The fields that are read; every other is an attribute. The http fields of a log have no column: they stay among its
 * labels, where the API shows them.
 */
const KNOWN_FIELDS: ReadonlySet<string> = new Set([
  "type",
  "timestamp",
  "service_name",
  "environment",
  "level",
  "message",
  "trace_id",
  "span_id",
  "labels",
]);
const level = oneOf(LOG_LEVELS);

/**
 * Decodes one log event of the JSON contract. A log need not belong to a trace.
 * @param recordTimeMs the Kafka record's own time, used where the event carries none
 */
export function decodeLogEvent(
  bytes: Uint8Array | null,
  recordTimeMs: number,
  guards: Guards = NO_GUARDS,
): Decoded<LogRecord> {
  const object = parseJsonObject(bytes);
  if (!object.ok) return object;
  const given = object.value;
  const problems: Problems = [];
  readType(given, "log", problems);
  const timeUs = readTime(given, recordTimeMs, problems);
  const serviceName = readName(given, "service_name", problems);
  const environment = environmentName(readName(given, "environment", problems));
  const message = readRequiredText(given, "message", problems);
  const levelName = readText(given, "level", level.parse, level.message, problems);
  const traceId = readIdOrNone(
    given,
    "trace_id",
    parseTraceId,
    "must be 32 (or 16) hex digits, or absent",
    problems,
  );
  const spanId = readIdOrNone(given, "span_id", parseSpanId, "must be 16 hex digits, or absent", problems);
  readOptionalText(given, "http_method", NAME_CHARACTERS_MAX, problems);
  readOptionalText(given, "http_path", Number.POSITIVE_INFINITY, problems);
  readHttpStatusCode(given, problems);
  const labels = readLabels(given, problems);
  if (levelName === undefined || problems.length > 0) {
    return reject("invalid_event", problems.join("; "));
  }

  const truncated: string[] = [];
  const body = cut(message, BODY_CHARACTERS_MAX, "message", truncated);
  return {
    ok: true,
    value: {
      timeUs,
      resource: serviceResource(serviceName, environment),
      serviceName,
      environment,
      severityNumber: SEVERITY_NUMBER[levelName],
      severityText: levelName,
      body,
      pattern: logPattern(guards.logPattern(serviceName, patternText(body))),
      traceId,
      spanId,
      attributesJson: serializeAttributes(
        guards.attributes(collectAttributes(given, KNOWN_FIELDS, labels)),
        truncated,
      ),
    },
  };
}
