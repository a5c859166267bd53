import { serializeAttributes } from "../../attributes.ts";
import { type Guards, NO_GUARDS } from "../../guards.ts";
import { isAbsentId, parseSpanId, parseTraceId } from "../../ids.ts";
import { logPattern, patternText } from "../../log-pattern.ts";
import type { LogRecord } from "../../log-record.ts";
import { type Decoded, reject, storableText } from "../../rejection.ts";
import { BODY_CHARACTERS_MAX, cut, NAME_CHARACTERS_MAX } from "../event-fields.ts";
import { addScope, type Emitter, emitterReader, noteDropped } from "./emitter.ts";
import type { Attributes, OtlpLogRecord } from "./export-request.ts";
import { readLogsExport } from "./read-export.ts";
import { severityOf } from "./severity.ts";

/**
 * Decodes an `ExportLogsServiceRequest`, in protobuf or JSON: one result for each log record, in the order of the
 * message. A message that cannot be read is one rejection; a record that is not valid leaves the others alone.
 * @param recordTimeMs the Kafka record's own time, used for a log record that carries none
 */
export function decodeLogsExport(
  bytes: Uint8Array | null,
  recordTimeMs: number,
  guards: Guards = NO_GUARDS,
): Decoded<Decoded<LogRecord>[]> {
  const request = readLogsExport(bytes);
  if (!request.ok) return request;
  const emitterOf = emitterReader(guards);
  const logs: Decoded<LogRecord>[] = [];
  for (const group of request.value.groups) {
    const emitter = emitterOf(group);
    for (const log of group.items) logs.push(decodeLogRecord(log, emitter, recordTimeMs, guards));
  }
  return { ok: true, value: logs };
}

function decodeLogRecord(
  log: OtlpLogRecord,
  emitter: Emitter,
  recordTimeMs: number,
  guards: Guards,
): Decoded<LogRecord> {
  const traceId = isAbsentId(log.traceId) ? null : parseTraceId(log.traceId);
  const spanId = isAbsentId(log.spanId) ? null : parseSpanId(log.spanId);
  if (
    traceId === undefined ||
    spanId === undefined ||
    log.problems.length > 0 ||
    emitter.problems.length > 0
  ) {
    const problems = [...emitter.problems, ...log.problems];
    if (traceId === undefined) problems.push("trace_id: must be 16 bytes, or absent");
    if (spanId === undefined) problems.push("span_id: must be 8 bytes, or absent");
    return reject("invalid_event", problems.join("; "));
  }
  addExtras(log, emitter);
  const truncated = log.leftOut;
  const severity = severityOf(log.severityNumber, log.severityText);
  const body = cut(storableText(bodyText(log.body, guards)), BODY_CHARACTERS_MAX, "message", truncated);
  return {
    ok: true,
    value: {
      timeUs: log.time.us || log.observedTime.us || recordTimeMs * 1_000,
      resource: emitter.resource,
      serviceName: emitter.serviceName,
      environment: emitter.environment,
      severityNumber: severity.number,
      severityText: cut(storableText(severity.text), NAME_CHARACTERS_MAX, "severity_text", truncated),
      body,
      pattern: logPattern(guards.logPattern(emitter.serviceName, patternText(body))),
      traceId,
      spanId,
      attributesJson: serializeAttributes(guards.attributes(log.attributes), truncated),
    },
  };
}

/** Text as it is; anything else as JSON, its keys guarded as attributes are. */
function bodyText(body: unknown, guards: Guards): string {
  if (typeof body === "string") return body;
  if (body === null) return "";
  if (typeof body !== "object") return JSON.stringify(body);
  if (!Array.isArray(body)) return JSON.stringify(guards.attributes(body as Attributes));
  return JSON.stringify(guards.attributes({ body }).body ?? []);
}

/** Adds what has no column, under the names that OpenTelemetry gives it where a format has no field for it. */
function addExtras(log: OtlpLogRecord, { scopeAttributes }: Emitter): void {
  addScope(log.attributes, scopeAttributes);
  if (log.eventName !== "") log.attributes["otel.event.name"] = log.eventName;
  noteDropped(log.attributes, log.droppedAttributesCount, "attributes");
}
