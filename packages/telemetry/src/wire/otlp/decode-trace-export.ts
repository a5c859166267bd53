import {
  serializeAttributes,
  setAttribute,
  TEXT_COLUMN_CHARACTERS_MAX,
  textAttribute,
} from "../../attributes.ts";
import { endpointName } from "../../endpoint-name.ts";
import { type Guards, NO_GUARDS } from "../../guards.ts";
import { isAbsentId, parseSpanId, parseTraceId } from "../../ids.ts";
import { peerServiceOf } from "../../peer-service.ts";
import { type Decoded, reject, storableText } from "../../rejection.ts";
import { sampleRateWeight, traceStateWeight } from "../../sample-weight.ts";
import type { Span } from "../../span.ts";
import { SPAN_KIND } from "../../span-kind.ts";
import { STATUS_CODE } from "../../status-code.ts";
import { formatTimestamp } from "../../timestamp.ts";
import { DURATION_MS_MAX } from "../decode-span-event.ts";
import { cut, HTTP_PATH_CHARACTERS_MAX, SPAN_NAME_CHARACTERS_MAX } from "../event-fields.ts";
import { addScope, type Emitter, emitterReader, noteDropped } from "./emitter.ts";
import type { Attributes, OtlpEvent, OtlpLink, OtlpSpan, UnixNanos } from "./export-request.ts";
import { httpMethodOf, httpPathOf, httpStatusCodeOf } from "./http-attributes.ts";
import { readTraceExport } from "./read-export.ts";

/** OpenTelemetry takes an empty name for an unknown one. */
export const UNKNOWN_SPAN_NAME = "unknown_span";

/**
 * Decodes an `ExportTraceServiceRequest`, in protobuf or JSON: one result for each span, in the order of the message.
 * A message that cannot be read is one rejection; a span that is not valid leaves the others alone.
 * @param recordTimeMs the Kafka record's own time, used for a span that carries none
 */
export function decodeTraceExport(
  bytes: Uint8Array | null,
  recordTimeMs: number,
  guards: Guards = NO_GUARDS,
): Decoded<Decoded<Span>[]> {
  const request = readTraceExport(bytes);
  if (!request.ok) return request;
  const emitterOf = emitterReader(guards);
  const spans: Decoded<Span>[] = [];
  for (const group of request.value.groups) {
    const emitter = emitterOf(group);
    for (const span of group.items) spans.push(decodeSpan(span, emitter, recordTimeMs, guards));
  }
  return { ok: true, value: spans };
}

function decodeSpan(span: OtlpSpan, emitter: Emitter, recordTimeMs: number, guards: Guards): Decoded<Span> {
  const traceId = parseTraceId(span.traceId);
  const spanId = parseSpanId(span.spanId);
  const parentSpanId = isAbsentId(span.parentSpanId) ? null : parseSpanId(span.parentSpanId);
  const { startTimeUs, durationUs } = timesOf(span, recordTimeMs);
  if (
    traceId === undefined ||
    spanId === undefined ||
    parentSpanId === undefined ||
    durationUs > DURATION_MS_MAX * 1_000 ||
    span.problems.length > 0 ||
    emitter.problems.length > 0
  ) {
    const problems = [...emitter.problems, ...span.problems];
    if (traceId === undefined) problems.push("trace_id: must be 16 bytes, not all zero");
    if (spanId === undefined) problems.push("span_id: must be 8 bytes, not all zero");
    if (parentSpanId === undefined)
      problems.push("parent_span_id: must be 8 bytes, or absent for a root span");
    if (durationUs > DURATION_MS_MAX * 1_000) {
      problems.push(`duration: must be at most ${DURATION_MS_MAX} ms (366 days)`);
    }
    return reject("invalid_event", problems.join("; "));
  }

  const truncated = span.leftOut;
  const { serviceName, environment, resource } = emitter;
  // First, because it counts the links that lead nowhere.
  const links = linksJson(span, guards);
  addExtras(span, emitter);
  const attributes = guards.attributes(span.attributes);
  const spanName =
    span.name === ""
      ? UNKNOWN_SPAN_NAME
      : cut(storableText(span.name), SPAN_NAME_CHARACTERS_MAX, "name", truncated);
  const spanKind = span.kind >= 1 && span.kind <= 5 ? span.kind : SPAN_KIND.INTERNAL;
  const httpMethod = httpMethodOf(attributes);
  const path = httpPathOf(attributes);
  const httpPath = path === null ? null : cut(path, HTTP_PATH_CHARACTERS_MAX, "http_path", truncated);
  const weight = span.traceState === "" ? 1 : traceStateWeight(span.traceState);
  return {
    ok: true,
    value: {
      startTimeUs,
      durationUs,
      traceId,
      spanId,
      parentSpanId,
      resource,
      sampleWeight: weight > 1 ? weight : sampleRateWeight(attributes.sample_rate),
      serviceName,
      environment,
      spanName,
      endpoint: guards.endpoint(
        serviceName,
        endpointName(spanName, httpMethod, textAttribute(attributes, "http.route"), httpPath),
      ),
      spanKind,
      statusCode: span.statusCode === 1 || span.statusCode === 2 ? span.statusCode : STATUS_CODE.UNSET,
      peerService: peerServiceOf(spanKind, attributes),
      statusMessage: statusMessageOf(span, attributes),
      httpMethod,
      httpPath,
      httpStatusCode: httpStatusCodeOf(attributes),
      eventsJson: span.events.length === 0 ? null : eventsJson(span.events, startTimeUs, guards),
      linksJson: links,
      attributesJson: serializeAttributes(attributes, truncated),
    },
  };
}

/**
 * A span whose end is not known took no time. Neither did one that ends before it began, because a clock was set back
 * in between: its place in the trace is worth more than a negative number; by how much is kept among its attributes.
 */
function timesOf(
  { start, end }: OtlpSpan,
  recordTimeMs: number,
): { startTimeUs: number; durationUs: number } {
  if (isUnknown(start)) return { startTimeUs: isUnknown(end) ? recordTimeMs * 1_000 : end.us, durationUs: 0 };
  return { startTimeUs: start.us, durationUs: isUnknown(end) ? 0 : Math.max(0, microseconds(start, end)) };
}

function isUnknown(time: UnixNanos): boolean {
  return time.us === 0 && time.ns === 0;
}

function microseconds(start: UnixNanos, end: UnixNanos): number {
  return Math.round(end.us - start.us + (end.ns - start.ns) / 1_000);
}

function statusMessageOf(span: OtlpSpan, attributes: Readonly<Attributes>): string | null {
  if (span.statusMessage === "") return textAttribute(attributes, "error.message") ?? null;
  return storableText(span.statusMessage.slice(0, TEXT_COLUMN_CHARACTERS_MAX));
}

/** Adds what has no column, under the names that OpenTelemetry gives it where a format has no field for it. */
function addExtras(span: OtlpSpan, { scopeAttributes }: Emitter): void {
  const { attributes } = span;
  addScope(attributes, scopeAttributes);
  if (span.traceState !== "") attributes["w3c.tracestate"] = span.traceState;
  noteDropped(attributes, span.droppedAttributesCount, "attributes");
  noteDropped(attributes, span.droppedEventsCount, "events");
  noteDropped(attributes, span.droppedLinksCount, "links");
  if (isUnknown(span.start) || isUnknown(span.end)) return;
  const backwardsUs = microseconds(span.end, span.start);
  if (backwardsUs > 0) attributes["timespan.ended_before_start_us"] = backwardsUs;
}

/** An event without a time of its own is put where the span begins. */
function eventsJson(events: readonly OtlpEvent[], startTimeUs: number, guards: Guards): string {
  const list = events.map(({ time, name, attributes, droppedAttributesCount }) => {
    const all = { ...guards.attributes(attributes) };
    noteDropped(all, droppedAttributesCount, "attributes");
    const timestamp = formatTimestamp(isUnknown(time) ? startTimeUs : time.us);
    return `{"time":"${timestamp}","name":${JSON.stringify(storableText(name))},"attributes":${serializeAttributes(all)}}`;
  });
  return `[${list.join(",")}]`;
}

/** Null where there are none. A link that leads to no span is left out and counted as dropped. */
function linksJson(span: OtlpSpan, guards: Guards): string | null {
  if (span.links.length === 0) return null;
  const list = span.links.flatMap((link) => {
    const traceId = parseTraceId(link.traceId);
    const spanId = parseSpanId(link.spanId);
    if (traceId === undefined || spanId === undefined) {
      span.droppedLinksCount++;
      return [];
    }
    return `{"trace_id":"${traceId}","span_id":"${spanId}","attributes":${linkAttributes(link, guards)}}`;
  });
  return list.length === 0 ? null : `[${list.join(",")}]`;
}

function linkAttributes(link: OtlpLink, guards: Guards): string {
  const all = { ...guards.attributes(link.attributes) };
  if (link.traceState !== "") setAttribute(all, "w3c.tracestate", link.traceState);
  noteDropped(all, link.droppedAttributesCount, "attributes");
  return serializeAttributes(all);
}
