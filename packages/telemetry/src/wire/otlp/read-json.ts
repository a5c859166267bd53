import { setAttribute } from "../../attributes.ts";
import { nestsDeeperThan } from "../../json-depth.ts";
import { EVENT_DEPTH_MAX } from "../event-fields.ts";
import {
  type Attributes,
  type ExportRequest,
  type Group,
  NO_TIME,
  type OtlpLogRecord,
  type OtlpResource,
  type OtlpScope,
  type OtlpSpan,
  type UnixNanos,
} from "./export-request.ts";
import {
  ItemBudget,
  OTLP_ATTRIBUTES_MAX,
  OTLP_EVENTS_MAX,
  OTLP_LINKS_MAX,
  OTLP_VALUE_DEPTH_MAX,
  TOO_DEEP_VALUE,
} from "./limits.ts";

/*
 * OTLP's JSON is the JSON of proto3 with lowerCamelCase keys, except that ids are hex and enums may be numbers.
 * 64-bit integers may be text. Fields that are not known are ignored. What stands where something else should makes
 * the item it belongs to a rejection; around the items it makes the whole message one.
 */

/** A message that is JSON, but no export request. */
export class NoExportRequest extends Error {}

/** Reads an `ExportTraceServiceRequest`. @throws {NoExportRequest} or what `JSON.parse` throws */
export function readTraceJson(bytes: Buffer): ExportRequest<OtlpSpan> {
  return readRequest(bytes, "resourceSpans", "scopeSpans", "spans", readSpan);
}

/** Reads an `ExportLogsServiceRequest`. @throws {NoExportRequest} or what `JSON.parse` throws */
export function readLogsJson(bytes: Buffer): ExportRequest<OtlpLogRecord> {
  return readRequest(bytes, "resourceLogs", "scopeLogs", "logRecords", readLogRecord);
}

type JsonObject = Record<string, unknown>;
type ReadItem<Item> = (json: JsonObject, budget: ItemBudget) => Item;

function readRequest<Item>(
  bytes: Buffer,
  resourcesKey: string,
  scopesKey: string,
  itemsKey: string,
  readItem: ReadItem<Item>,
): ExportRequest<Item> {
  const json = bytes.toString("utf8");
  if (nestsDeeperThan(json, EVENT_DEPTH_MAX)) {
    throw new NoExportRequest(`nested deeper than ${EVENT_DEPTH_MAX}`);
  }
  const root: unknown = JSON.parse(json);
  if (!isObject(root)) throw new NoExportRequest("an export request is a JSON object");
  if (root[resourcesKey] === undefined && Object.keys(root).length > 0) {
    throw new NoExportRequest(`it has no ${resourcesKey}`);
  }
  const budget = new ItemBudget();
  const request: ExportRequest<Item> = { groups: [], itemCount: 0 };
  for (const resourceItems of objects(root, resourcesKey)) {
    const resource = readResource(resourceItems);
    for (const scopeItems of objects(resourceItems, scopesKey)) {
      const items = objects(scopeItems, itemsKey).map((item) => {
        budget.take();
        return readItem(item, budget);
      });
      if (items.length === 0) continue;
      request.itemCount += items.length;
      const group: Group<Item> = { resource, scope: readScope(scopeItems), items };
      request.groups.push(group);
    }
  }
  return request;
}

/** The objects in the array `key`, which may be absent. @throws {NoExportRequest} where it holds something else */
function objects(json: JsonObject, key: string): JsonObject[] {
  const value = json[key];
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value) || !value.every(isObject)) {
    throw new NoExportRequest(`${key} must be an array of objects`);
  }
  return value;
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function readResource(json: JsonObject): OtlpResource {
  const problems: string[] = [];
  const leftOut: string[] = [];
  const resource = isObject(json.resource) ? json.resource : {};
  const attributes = readAttributes(resource.attributes, problems, leftOut, "attributes");
  if (problems.length > 0) throw new NoExportRequest(`resource: ${problems.join("; ")}`);
  return { attributes, leftOut };
}

function readScope(json: JsonObject): OtlpScope {
  const problems: string[] = [];
  const scope = isObject(json.scope) ? json.scope : {};
  const result = {
    name: text(scope, "name", problems),
    version: text(scope, "version", problems),
    attributes: readAttributes(scope.attributes, problems, [], "attributes"),
  };
  if (problems.length > 0) throw new NoExportRequest(`scope: ${problems.join("; ")}`);
  return result;
}

const readSpan: ReadItem<OtlpSpan> = (json, budget) => {
  const problems: string[] = [];
  const leftOut: string[] = [];
  const status = isObject(json.status) ? json.status : {};
  return {
    traceId: text(json, "traceId", problems),
    spanId: text(json, "spanId", problems),
    parentSpanId: text(json, "parentSpanId", problems),
    traceState: text(json, "traceState", problems),
    name: text(json, "name", problems),
    kind: enumNumber(json, "kind", SPAN_KINDS, problems),
    start: unixNanos(json, "startTimeUnixNano", problems),
    end: unixNanos(json, "endTimeUnixNano", problems),
    attributes: readAttributes(json.attributes, problems, leftOut, "attributes"),
    droppedAttributesCount: count(json, "droppedAttributesCount"),
    events: some(json, "events", OTLP_EVENTS_MAX, problems, leftOut).map((event) => {
      budget.take();
      return {
        time: unixNanos(event, "timeUnixNano", problems),
        name: text(event, "name", problems),
        attributes: readAttributes(event.attributes, problems, leftOut, "events"),
        droppedAttributesCount: count(event, "droppedAttributesCount"),
      };
    }),
    droppedEventsCount: count(json, "droppedEventsCount"),
    links: some(json, "links", OTLP_LINKS_MAX, problems, leftOut).map((link) => {
      budget.take();
      return {
        traceId: text(link, "traceId", problems),
        spanId: text(link, "spanId", problems),
        traceState: text(link, "traceState", problems),
        attributes: readAttributes(link.attributes, problems, leftOut, "links"),
        droppedAttributesCount: count(link, "droppedAttributesCount"),
      };
    }),
    droppedLinksCount: count(json, "droppedLinksCount"),
    statusCode: enumNumber(status, "code", STATUS_CODES, problems),
    statusMessage: text(status, "message", problems),
    leftOut,
    problems,
  };
};

const readLogRecord: ReadItem<OtlpLogRecord> = (json) => {
  const problems: string[] = [];
  const leftOut: string[] = [];
  return {
    time: unixNanos(json, "timeUnixNano", problems),
    observedTime: unixNanos(json, "observedTimeUnixNano", problems),
    severityNumber: enumNumber(json, "severityNumber", SEVERITY_NUMBERS, problems),
    severityText: text(json, "severityText", problems),
    body: readAnyValue(json.body, 1, problems),
    traceId: text(json, "traceId", problems),
    spanId: text(json, "spanId", problems),
    eventName: text(json, "eventName", problems),
    attributes: readAttributes(json.attributes, problems, leftOut, "attributes"),
    droppedAttributesCount: count(json, "droppedAttributesCount"),
    leftOut,
    problems,
  };
};

function text(json: JsonObject, key: string, problems: string[]): string {
  const value = json[key];
  if (typeof value === "string") return value;
  if (value !== undefined && value !== null) problems.push(`${key} must be text`);
  return "";
}

/** How many were dropped is no reason to lose the rest: what is no such number is none. */
function count(json: JsonObject, key: string): number {
  const value = Number(json[key] ?? 0);
  return Number.isSafeInteger(value) && value > 0 ? value : 0;
}

/** Names as the .proto has them; a number may be written as text too. */
function enumNumber(
  json: JsonObject,
  key: string,
  names: ReadonlyMap<string, number>,
  problems: string[],
): number {
  const value = json[key] ?? 0;
  const number = typeof value === "string" ? (names.get(value) ?? integerOf(value)) : value;
  if (typeof number === "number" && Number.isInteger(number)) return number;
  problems.push(`${key} must be a number or a name of its enum`);
  return 0;
}

const enumNames = (prefix: string, names: readonly string[]): ReadonlyMap<string, number> =>
  new Map(names.map((name, number) => [prefix + name, number]));

const SPAN_KINDS = enumNames("SPAN_KIND_", [
  "UNSPECIFIED",
  "INTERNAL",
  "SERVER",
  "CLIENT",
  "PRODUCER",
  "CONSUMER",
]);
const STATUS_CODES = enumNames("STATUS_CODE_", ["UNSET", "OK", "ERROR"]);
const SEVERITY_NUMBERS = enumNames("SEVERITY_NUMBER_", [
  "UNSPECIFIED",
  ...["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"].flatMap((name) => [
    name,
    `${name}2`,
    `${name}3`,
    `${name}4`,
  ]),
]);

/** A `fixed64` as decimal text or number. A number beyond 2^53 has lost its last digits before it came here. */
function unixNanos(json: JsonObject, key: string, problems: string[]): UnixNanos {
  const value = json[key];
  if (value === undefined || value === null) return NO_TIME;
  if (typeof value === "string" && /^\d{1,20}$/.test(value)) {
    const split = Math.max(0, value.length - 3);
    return { us: Number(value.slice(0, split)), ns: Number(value.slice(split)) };
  }
  if (typeof value === "number" && Number.isInteger(value) && value >= 0 && value < 2 ** 64) {
    const us = Math.floor(value / 1_000);
    return { us, ns: Math.min(999, Math.max(0, value - us * 1_000)) };
  }
  problems.push(`${key} must be nanoseconds since 1970`);
  return NO_TIME;
}

/** The first `max` objects of the array `key`. */
function some(
  json: JsonObject,
  key: "events" | "links",
  max: number,
  problems: string[],
  leftOut: string[],
): JsonObject[] {
  const value = json[key];
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value) || !value.every(isObject)) {
    problems.push(`${key} must be an array of objects`);
    return [];
  }
  if (value.length <= max) return value;
  noteOnce(leftOut, key);
  return value.slice(0, max);
}

function readAttributes(json: unknown, problems: string[], leftOut: string[], what: string): Attributes {
  const attributes: Attributes = {};
  if (json === undefined || json === null) return attributes;
  if (!Array.isArray(json)) {
    problems.push("attributes must be an array of keys and values");
    return attributes;
  }
  if (json.length > OTLP_ATTRIBUTES_MAX) noteOnce(leftOut, what);
  readKeyValues(json, attributes, 1, problems, OTLP_ATTRIBUTES_MAX);
  return attributes;
}

function noteOnce(leftOut: string[], what: string): void {
  if (!leftOut.includes(what)) leftOut.push(what);
}

function readKeyValues(
  list: readonly unknown[],
  into: Attributes,
  depth: number,
  problems: string[],
  max: number,
): void {
  const end = Math.min(list.length, max);
  for (let index = 0; index < end; index++) {
    const item = list[index];
    if (!isObject(item) || typeof item.key !== "string") {
      problems.push("an attribute must have a key and a value");
      return;
    }
    setAttribute(into, item.key, readAnyValue(item.value, depth, problems));
  }
}

const KNOWN_VALUES = [
  "stringValue",
  "boolValue",
  "intValue",
  "doubleValue",
  "bytesValue",
  "arrayValue",
  "kvlistValue",
] as const;

function readAnyValue(json: unknown, depth: number, problems: string[]): unknown {
  if (json === undefined || json === null) return null;
  if (isObject(json)) {
    const { stringValue, intValue, doubleValue, boolValue, bytesValue, arrayValue, kvlistValue } = json;
    if (typeof stringValue === "string") return stringValue;
    if (typeof boolValue === "boolean") return boolValue;
    if (typeof bytesValue === "string") return bytesValue;
    const integer = typeof intValue === "string" ? integerOf(intValue) : intValue;
    if (typeof integer === "number" && Number.isInteger(integer)) return integer;
    if (typeof integer === "string") return integer;
    if (typeof doubleValue === "number") return doubleValue;
    if (typeof doubleValue === "string" && doubleValue !== "") return decimalOf(doubleValue);
    const list = isObject(arrayValue) ? (arrayValue.values ?? []) : undefined;
    if (Array.isArray(list)) {
      if (depth >= OTLP_VALUE_DEPTH_MAX) return TOO_DEEP_VALUE;
      return list.map((item) => readAnyValue(item, depth + 1, problems));
    }
    const pairs = isObject(kvlistValue) ? (kvlistValue.values ?? []) : undefined;
    if (Array.isArray(pairs)) {
      if (depth >= OTLP_VALUE_DEPTH_MAX) return TOO_DEEP_VALUE;
      const values: Attributes = {};
      readKeyValues(pairs, values, depth + 1, problems, pairs.length);
      return values;
    }
    // A kind of value that is not known here is ignored like any other unknown field.
    if (KNOWN_VALUES.every((key) => json[key] === undefined || json[key] === null)) return null;
  }
  problems.push("a value must be one of stringValue, boolValue, intValue and so on");
  return null;
}

/** A whole number of 64 bits: as text where a double cannot hold it, `undefined` where it is none. */
function integerOf(decimal: string): number | string | undefined {
  if (!/^-?\d{1,19}$/.test(decimal)) return undefined;
  const number = Number(decimal);
  return Number.isSafeInteger(number) ? number : String(BigInt(decimal));
}

/** NaN and the infinities stay text, as JSON has no numbers for them. */
function decimalOf(decimal: string): number | string {
  const number = Number(decimal);
  return Number.isFinite(number) ? number : decimal;
}
