import type {
  Attributes,
  ExportRequest,
  Group,
  OtlpLogRecord,
  OtlpSpan,
  UnixNanos,
} from "./export-request.ts";
import { readLogsExport, readTraceExport } from "./read-export.ts";

/*
 * Dead letters of an export request. One bad span among five hundred good ones must not be kept, and sent again,
 * together with them: these functions take the bad ones out of the message, as a request of their own in OTLP's JSON,
 * which the decoders read like any other.
 */

/** The spans at `indexes` of an export request, as a request of their own; null where `bytes` is none. */
export function pickSpans(bytes: Uint8Array | null, indexes: ReadonlySet<number>): Uint8Array | null {
  const request = readTraceExport(bytes);
  return request.ok
    ? encodePicked(request.value, indexes, "resourceSpans", "scopeSpans", "spans", spanJson)
    : null;
}

/** The log records at `indexes` of an export request, as a request of their own; null where `bytes` is none. */
export function pickLogRecords(bytes: Uint8Array | null, indexes: ReadonlySet<number>): Uint8Array | null {
  const request = readLogsExport(bytes);
  return request.ok
    ? encodePicked(request.value, indexes, "resourceLogs", "scopeLogs", "logRecords", logRecordJson)
    : null;
}

function encodePicked<Item>(
  { groups }: ExportRequest<Item>,
  indexes: ReadonlySet<number>,
  resourcesKey: string,
  scopesKey: string,
  itemsKey: string,
  itemJson: (item: Item) => object,
): Uint8Array {
  let start = 0;
  const picked = groups.flatMap(({ resource, scope, items }: Group<Item>) => {
    const first = start;
    start += items.length;
    const kept = items.filter((_, position) => indexes.has(first + position));
    if (kept.length === 0) return [];
    const scopeJson = { name: scope.name, version: scope.version, attributes: keyValues(scope.attributes) };
    return {
      resource: { attributes: keyValues(resource.attributes) },
      [scopesKey]: [{ scope: scopeJson, [itemsKey]: kept.map(itemJson) }],
    };
  });
  return Buffer.from(JSON.stringify({ [resourcesKey]: picked }));
}

function spanJson(span: OtlpSpan): object {
  const { traceId, spanId, parentSpanId, traceState, name, kind } = span;
  const { droppedAttributesCount, droppedEventsCount, droppedLinksCount } = span;
  return {
    traceId,
    spanId,
    parentSpanId,
    traceState,
    name,
    kind,
    startTimeUnixNano: decimal(span.start),
    endTimeUnixNano: decimal(span.end),
    attributes: keyValues(span.attributes),
    droppedAttributesCount,
    events: span.events.map(({ time, attributes, ...event }) => ({
      timeUnixNano: decimal(time),
      ...event,
      attributes: keyValues(attributes),
    })),
    droppedEventsCount,
    links: span.links.map(({ attributes, ...link }) => ({ ...link, attributes: keyValues(attributes) })),
    droppedLinksCount,
    status: { code: span.statusCode, message: span.statusMessage },
  };
}

function logRecordJson(log: OtlpLogRecord): object {
  const { severityNumber, severityText, traceId, spanId, eventName, droppedAttributesCount } = log;
  return {
    timeUnixNano: decimal(log.time),
    observedTimeUnixNano: decimal(log.observedTime),
    severityNumber,
    severityText,
    body: anyValue(log.body),
    attributes: keyValues(log.attributes),
    droppedAttributesCount,
    traceId,
    spanId,
    eventName,
  };
}

function decimal({ us, ns }: UnixNanos): string {
  return String(BigInt(us) * 1_000n + BigInt(ns));
}

function keyValues(attributes: Readonly<Attributes>): object[] {
  return Object.entries(attributes).map(([key, value]) => ({ key, value: anyValue(value) }));
}

function anyValue(value: unknown): object {
  switch (typeof value) {
    case "string":
      return { stringValue: value };
    case "boolean":
      return { boolValue: value };
    case "number":
      return Number.isSafeInteger(value) ? { intValue: String(value) } : { doubleValue: value };
  }
  if (Array.isArray(value)) return { arrayValue: { values: value.map(anyValue) } };
  if (typeof value === "object" && value !== null) {
    return { kvlistValue: { values: keyValues(value as Attributes) } };
  }
  return {};
}
