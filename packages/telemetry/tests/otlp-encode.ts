import { join, resolve } from "node:path";
import protobuf from "protobufjs";

/*
 * Export requests for tests, written as OTLP's JSON and encoded to protobuf by the official .proto files and a library
 * of its own: nothing of the reader under test has a part in it.
 */

const SCHEMA = resolve(import.meta.dir, "../src/wire/otlp/opentelemetry-proto");
// Its own limit is lower than what is tested here.
protobuf.util.recursionLimit = 1_000;
const root = new protobuf.Root();
root.resolvePath = (_, target) => join(SCHEMA, target);
root.loadSync([
  "opentelemetry/proto/collector/trace/v1/trace_service.proto",
  "opentelemetry/proto/collector/logs/v1/logs_service.proto",
]);
const REQUESTS = {
  spans: root.lookupType("opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest"),
  logs: root.lookupType("opentelemetry.proto.collector.logs.v1.ExportLogsServiceRequest"),
};

export type Signal = keyof typeof REQUESTS;
export type Encode = (signal: Signal, request: object) => Buffer;

export const ENCODINGS: readonly (readonly [name: string, encode: Encode])[] = [
  ["protobuf", encodeProtobuf],
  ["JSON", (_, request) => Buffer.from(JSON.stringify(request))],
];

export function encodeProtobuf(signal: Signal, request: object): Buffer {
  const type = REQUESTS[signal];
  return Buffer.from(type.encode(type.fromObject(withBinaryIds(request))).finish());
}

/** Ids are hex in OTLP's JSON, where the JSON of protobuf itself has base64. */
function withBinaryIds(value: object): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [
      key,
      typeof inner === "object" ? convert(inner) : id(key, inner),
    ]),
  );
}

function convert(value: object | null): unknown {
  if (Array.isArray(value)) return value.map((item) => (typeof item === "object" ? convert(item) : item));
  return value === null ? null : withBinaryIds(value);
}

function id(key: string, value: unknown): unknown {
  return /^(traceId|spanId|parentSpanId)$/.test(key) ? Buffer.from(String(value), "hex") : value;
}

/** Attributes as OTLP writes them. */
export function attributes(values: Readonly<Record<string, unknown>>): object[] {
  return Object.entries(values).map(([key, value]) => ({ key, value: anyValue(value) }));
}

export function anyValue(value: unknown): object {
  if (typeof value === "string") return { stringValue: value };
  if (typeof value === "boolean") return { boolValue: value };
  if (typeof value === "bigint") return { intValue: String(value) };
  if (typeof value === "number")
    return Number.isInteger(value) ? { intValue: value } : { doubleValue: value };
  if (value instanceof Uint8Array) return { bytesValue: Buffer.from(value).toString("base64") };
  if (Array.isArray(value)) return { arrayValue: { values: value.map(anyValue) } };
  if (typeof value === "object" && value !== null) {
    return { kvlistValue: { values: attributes(value as Record<string, unknown>) } };
  }
  return {};
}

export const TRACE_ID = "0af7651916cd43dd8448eb211c80319c";
export const SPAN_ID = "b7ad6b7169203331";
export const PARENT_ID = "00f067aa0ba902b7";
/** 2026-11-21T12:00:00Z */
export const START_NANOS = "1795262400123456789";
export const START_US = 1_795_262_400_123_456;

export const resourceOfShop = {
  "service.name": "checkout",
  "deployment.environment.name": "production",
  "host.name": "a",
};

/** A request of `spans` of one resource and scope. */
export function traceRequest(spans: readonly object[], resource: object = resourceOfShop): object {
  return {
    resourceSpans: [
      {
        resource: { attributes: attributes(resource as Record<string, unknown>) },
        scopeSpans: [{ spans }],
      },
    ],
  };
}

export function logsRequest(logRecords: readonly object[], resource: object = resourceOfShop): object {
  return {
    resourceLogs: [
      {
        resource: { attributes: attributes(resource as Record<string, unknown>) },
        scopeLogs: [{ logRecords }],
      },
    ],
  };
}

export function span(fields: object = {}): Record<string, unknown> {
  return {
    traceId: TRACE_ID,
    spanId: SPAN_ID,
    name: "GET /orders/{id}",
    kind: 2,
    startTimeUnixNano: START_NANOS,
    endTimeUnixNano: "1795262400135802345",
    ...fields,
  };
}

export function logRecord(fields: object = {}): Record<string, unknown> {
  return { timeUnixNano: START_NANOS, severityNumber: 9, body: { stringValue: "order placed" }, ...fields };
}
