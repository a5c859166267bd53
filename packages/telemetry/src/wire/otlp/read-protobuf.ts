import { setAttribute } from "../../attributes.ts";
import {
  type Attributes,
  type ExportRequest,
  type Group,
  NO_TIME,
  type OtlpEvent,
  type OtlpLink,
  type OtlpLogRecord,
  type OtlpResource,
  type OtlpScope,
  type OtlpSpan,
} from "./export-request.ts";
import {
  OTLP_ATTRIBUTES_MAX,
  OTLP_EVENTS_MAX,
  OTLP_LINKS_MAX,
  OTLP_VALUE_DEPTH_MAX,
  TOO_DEEP_VALUE,
} from "./limits.ts";
import { ProtobufReader } from "./protobuf-reader.ts";

/*
 * The wire layout of OTLP, message by message, straight into the shapes of export-request.ts: no tree of generated
 * messages stands in between, which makes it four times as fast. A `case` is a tag: the field number of the official
 * .proto times 8, plus the wire type (0 varint, 1 eight bytes, 2 length and bytes, 5 four bytes). Any other tag is a
 * field that we do not know or do not keep, and is skipped.
 */

/** Reads an `ExportTraceServiceRequest`. @throws where the bytes are none */
export function readTraceProtobuf(bytes: Buffer): ExportRequest<OtlpSpan> {
  return readRequest(bytes, readSpan);
}

/** Reads an `ExportLogsServiceRequest`. @throws where the bytes are none */
export function readLogsProtobuf(bytes: Buffer): ExportRequest<OtlpLogRecord> {
  return readRequest(bytes, readLogRecord);
}

type ReadItem<Item> = (reader: ProtobufReader, end: number) => Item;

/** Both requests have the same envelope: resources in field 1, in each its scopes in field 2, in each the items in 2. */
function readRequest<Item>(bytes: Buffer, readItem: ReadItem<Item>): ExportRequest<Item> {
  const reader = new ProtobufReader(bytes);
  const request: ExportRequest<Item> = { groups: [], itemCount: 0 };
  const end = bytes.byteLength;
  let isRequest = false;
  while (reader.pos < end) {
    const tag = reader.uint32();
    if (tag === 10) {
      // repeated ResourceSpans resource_spans = 1
      isRequest = true;
      readResourceItems(reader, reader.enter(end), request, readItem);
    } else reader.skipField(tag);
  }
  reader.leave(end);
  if (!isRequest) throw new Error("it is no export request: it has no field 1");
  return request;
}

function readResourceItems<Item>(
  reader: ProtobufReader,
  end: number,
  request: ExportRequest<Item>,
  readItem: ReadItem<Item>,
): void {
  const resource: OtlpResource = { attributes: {}, leftOut: [] };
  while (reader.pos < end) {
    const tag = reader.uint32();
    if (tag === 10) {
      // Resource resource = 1. It may come behind the scopes, whose groups refer to this same object.
      readResource(reader, reader.enter(end), resource);
    } else if (tag === 18) {
      // repeated ScopeSpans scope_spans = 2
      const group = readScopeItems(reader, reader.enter(end), resource, readItem);
      request.itemCount += group.items.length;
      if (group.items.length > 0) request.groups.push(group);
    } else reader.skipField(tag);
  }
  reader.leave(end);
}

function readResource(reader: ProtobufReader, end: number, resource: OtlpResource): void {
  let count = 0;
  while (reader.pos < end) {
    const tag = reader.uint32();
    if (tag === 10) {
      // repeated KeyValue attributes = 1
      if (++count > OTLP_ATTRIBUTES_MAX) leaveOut(reader, tag, resource.leftOut, "attributes");
      else readKeyValue(reader, reader.enter(end), resource.attributes, 1);
    } else reader.skipField(tag);
  }
  reader.leave(end);
}

function readScopeItems<Item>(
  reader: ProtobufReader,
  end: number,
  resource: OtlpResource,
  readItem: ReadItem<Item>,
): Group<Item> {
  const scope: OtlpScope = { name: "", version: "", attributes: {} };
  const items: Item[] = [];
  while (reader.pos < end) {
    const tag = reader.uint32();
    if (tag === 10) {
      // InstrumentationScope scope = 1
      readScope(reader, reader.enter(end), scope);
    } else if (tag === 18) {
      // repeated Span spans = 2
      reader.budget.take();
      items.push(readItem(reader, reader.enter(end)));
    } else reader.skipField(tag);
  }
  reader.leave(end);
  return { resource, scope, items };
}

function readScope(reader: ProtobufReader, end: number, scope: OtlpScope): void {
  let count = 0;
  while (reader.pos < end) {
    const tag = reader.uint32();
    switch (tag) {
      case 10: // string name = 1
        scope.name = reader.text();
        break;
      case 18: // string version = 2
        scope.version = reader.text();
        break;
      case 26: // repeated KeyValue attributes = 3
        if (++count > OTLP_ATTRIBUTES_MAX) reader.skipField(tag);
        else readKeyValue(reader, reader.enter(end), scope.attributes, 1);
        break;
      default:
        reader.skipField(tag);
    }
  }
  reader.leave(end);
}

function readSpan(reader: ProtobufReader, end: number): OtlpSpan {
  const span: OtlpSpan = {
    traceId: "",
    spanId: "",
    parentSpanId: "",
    traceState: "",
    name: "",
    kind: 0,
    start: NO_TIME,
    end: NO_TIME,
    attributes: {},
    droppedAttributesCount: 0,
    events: [],
    droppedEventsCount: 0,
    links: [],
    droppedLinksCount: 0,
    statusCode: 0,
    statusMessage: "",
    leftOut: [],
    problems: [],
  };
  let attributeCount = 0;
  while (reader.pos < end) {
    const tag = reader.uint32();
    switch (tag) {
      case 10: // bytes trace_id = 1
        span.traceId = reader.hex();
        break;
      case 18: // bytes span_id = 2
        span.spanId = reader.hex();
        break;
      case 26: // string trace_state = 3
        span.traceState = reader.text();
        break;
      case 34: // bytes parent_span_id = 4
        span.parentSpanId = reader.hex();
        break;
      case 42: // string name = 5
        span.name = reader.text();
        break;
      case 48: // SpanKind kind = 6
        span.kind = reader.int32();
        break;
      case 57: // fixed64 start_time_unix_nano = 7
        span.start = reader.unixNanos();
        break;
      case 65: // fixed64 end_time_unix_nano = 8
        span.end = reader.unixNanos();
        break;
      case 74: // repeated KeyValue attributes = 9
        if (++attributeCount > OTLP_ATTRIBUTES_MAX) leaveOut(reader, tag, span.leftOut, "attributes");
        else readKeyValue(reader, reader.enter(end), span.attributes, 1);
        break;
      case 80: // uint32 dropped_attributes_count = 10
        span.droppedAttributesCount = reader.uint32();
        break;
      case 90: // repeated Event events = 11
        if (span.events.length >= OTLP_EVENTS_MAX) leaveOut(reader, tag, span.leftOut, "events");
        else span.events.push(readEvent(reader, reader.enter(end), span.leftOut));
        break;
      case 96: // uint32 dropped_events_count = 12
        span.droppedEventsCount = reader.uint32();
        break;
      case 106: // repeated Link links = 13
        if (span.links.length >= OTLP_LINKS_MAX) leaveOut(reader, tag, span.leftOut, "links");
        else span.links.push(readLink(reader, reader.enter(end), span.leftOut));
        break;
      case 112: // uint32 dropped_links_count = 14
        span.droppedLinksCount = reader.uint32();
        break;
      case 122: // Status status = 15
        readStatus(reader, reader.enter(end), span);
        break;
      default:
        reader.skipField(tag);
    }
  }
  reader.leave(end);
  return span;
}

function readStatus(reader: ProtobufReader, end: number, span: OtlpSpan): void {
  while (reader.pos < end) {
    const tag = reader.uint32();
    if (tag === 18) {
      // string message = 2
      span.statusMessage = reader.text();
    } else if (tag === 24) {
      // StatusCode code = 3
      span.statusCode = reader.int32();
    } else reader.skipField(tag);
  }
  reader.leave(end);
}

function readEvent(reader: ProtobufReader, end: number, leftOut: string[]): OtlpEvent {
  reader.budget.take();
  const event: OtlpEvent = { time: NO_TIME, name: "", attributes: {}, droppedAttributesCount: 0 };
  let attributeCount = 0;
  while (reader.pos < end) {
    const tag = reader.uint32();
    switch (tag) {
      case 9: // fixed64 time_unix_nano = 1
        event.time = reader.unixNanos();
        break;
      case 18: // string name = 2
        event.name = reader.text();
        break;
      case 26: // repeated KeyValue attributes = 3
        if (++attributeCount > OTLP_ATTRIBUTES_MAX) leaveOut(reader, tag, leftOut, "events");
        else readKeyValue(reader, reader.enter(end), event.attributes, 1);
        break;
      case 32: // uint32 dropped_attributes_count = 4
        event.droppedAttributesCount = reader.uint32();
        break;
      default:
        reader.skipField(tag);
    }
  }
  reader.leave(end);
  return event;
}

function readLink(reader: ProtobufReader, end: number, leftOut: string[]): OtlpLink {
  reader.budget.take();
  const link: OtlpLink = {
    traceId: "",
    spanId: "",
    traceState: "",
    attributes: {},
    droppedAttributesCount: 0,
  };
  let attributeCount = 0;
  while (reader.pos < end) {
    const tag = reader.uint32();
    switch (tag) {
      case 10: // bytes trace_id = 1
        link.traceId = reader.hex();
        break;
      case 18: // bytes span_id = 2
        link.spanId = reader.hex();
        break;
      case 26: // string trace_state = 3
        link.traceState = reader.text();
        break;
      case 34: // repeated KeyValue attributes = 4
        if (++attributeCount > OTLP_ATTRIBUTES_MAX) leaveOut(reader, tag, leftOut, "links");
        else readKeyValue(reader, reader.enter(end), link.attributes, 1);
        break;
      case 40: // uint32 dropped_attributes_count = 5
        link.droppedAttributesCount = reader.uint32();
        break;
      default:
        reader.skipField(tag);
    }
  }
  reader.leave(end);
  return link;
}

function readLogRecord(reader: ProtobufReader, end: number): OtlpLogRecord {
  const log: OtlpLogRecord = {
    time: NO_TIME,
    observedTime: NO_TIME,
    severityNumber: 0,
    severityText: "",
    body: null,
    traceId: "",
    spanId: "",
    eventName: "",
    attributes: {},
    droppedAttributesCount: 0,
    leftOut: [],
    problems: [],
  };
  let attributeCount = 0;
  while (reader.pos < end) {
    const tag = reader.uint32();
    switch (tag) {
      case 9: // fixed64 time_unix_nano = 1
        log.time = reader.unixNanos();
        break;
      case 16: // SeverityNumber severity_number = 2
        log.severityNumber = reader.int32();
        break;
      case 26: // string severity_text = 3
        log.severityText = reader.text();
        break;
      case 42: // AnyValue body = 5
        log.body = readAnyValue(reader, reader.enter(end), 1);
        break;
      case 50: // repeated KeyValue attributes = 6
        if (++attributeCount > OTLP_ATTRIBUTES_MAX) leaveOut(reader, tag, log.leftOut, "attributes");
        else readKeyValue(reader, reader.enter(end), log.attributes, 1);
        break;
      case 56: // uint32 dropped_attributes_count = 7
        log.droppedAttributesCount = reader.uint32();
        break;
      case 74: // bytes trace_id = 9
        log.traceId = reader.hex();
        break;
      case 82: // bytes span_id = 10
        log.spanId = reader.hex();
        break;
      case 89: // fixed64 observed_time_unix_nano = 11
        log.observedTime = reader.unixNanos();
        break;
      case 98: // string event_name = 12
        log.eventName = reader.text();
        break;
      default:
        reader.skipField(tag);
    }
  }
  reader.leave(end);
  return log;
}

function readKeyValue(reader: ProtobufReader, end: number, into: Attributes, depth: number): void {
  let key = "";
  let value: unknown = null;
  while (reader.pos < end) {
    const tag = reader.uint32();
    if (tag === 10) {
      // string key = 1
      key = reader.key();
    } else if (tag === 18) {
      // AnyValue value = 2
      value = readAnyValue(reader, reader.enter(end), depth);
    } else reader.skipField(tag);
  }
  reader.leave(end);
  setAttribute(into, key, value);
}

function readAnyValue(reader: ProtobufReader, end: number, depth: number): unknown {
  let value: unknown = null;
  while (reader.pos < end) {
    const tag = reader.uint32();
    switch (tag) {
      case 10: // string string_value = 1
        value = reader.text();
        break;
      case 16: // bool bool_value = 2
        value = reader.bool();
        break;
      case 24: // int64 int_value = 3
        value = reader.integer();
        break;
      case 33: // double double_value = 4
        value = reader.decimal();
        break;
      case 42: // ArrayValue array_value = 5
        value = readArray(reader, reader.enter(end), depth);
        break;
      case 50: // KeyValueList kvlist_value = 6
        value = readKeyValueList(reader, reader.enter(end), depth);
        break;
      case 58: // bytes bytes_value = 7
        value = reader.base64();
        break;
      default:
        reader.skipField(tag);
    }
  }
  reader.leave(end);
  return value;
}

function readArray(reader: ProtobufReader, end: number, depth: number): unknown {
  if (depth >= OTLP_VALUE_DEPTH_MAX) {
    reader.pos = end;
    return TOO_DEEP_VALUE;
  }
  const values: unknown[] = [];
  while (reader.pos < end) {
    const tag = reader.uint32();
    if (tag === 10) {
      // repeated AnyValue values = 1
      values.push(readAnyValue(reader, reader.enter(end), depth + 1));
    } else reader.skipField(tag);
  }
  reader.leave(end);
  return values;
}

function readKeyValueList(reader: ProtobufReader, end: number, depth: number): unknown {
  if (depth >= OTLP_VALUE_DEPTH_MAX) {
    reader.pos = end;
    return TOO_DEEP_VALUE;
  }
  const values: Attributes = {};
  while (reader.pos < end) {
    const tag = reader.uint32();
    if (tag === 10) {
      // repeated KeyValue values = 1
      readKeyValue(reader, reader.enter(end), values, depth + 1);
    } else reader.skipField(tag);
  }
  reader.leave(end);
  return values;
}

/** Skips a field because a limit is reached, and notes it once. */
function leaveOut(reader: ProtobufReader, tag: number, leftOut: string[], what: string): void {
  reader.skipField(tag);
  if (!leftOut.includes(what)) leftOut.push(what);
}
