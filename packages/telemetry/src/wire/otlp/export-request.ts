/**
 * An export request as both encodings carry it, read but not yet judged: ids are hex of whatever length, numbers may
 * be out of range. `attributes` hold plain values: 64-bit integers beyond 2^53 as decimal text, bytes as base64,
 * NaN and infinities as text.
 */
export interface ExportRequest<Item> {
  groups: Group<Item>[];
  itemCount: number;
}

export type Attributes = Record<string, unknown>;

/** Items of one resource and scope. */
export interface Group<Item> {
  resource: OtlpResource;
  scope: OtlpScope;
  items: Item[];
}

export interface OtlpResource {
  attributes: Attributes;
  /** What was left out: a limit was reached. */
  leftOut: string[];
}

export interface OtlpScope {
  name: string;
  version: string;
  attributes: Attributes;
}

/** Nanoseconds since the Unix epoch, which a double cannot hold, as whole microseconds and the rest. Zero: unknown. */
export interface UnixNanos {
  us: number;
  /** 0 to 999. */
  ns: number;
}

export const NO_TIME: UnixNanos = { us: 0, ns: 0 };

interface OtlpItem {
  attributes: Attributes;
  droppedAttributesCount: number;
  /** What was left out: a limit was reached. */
  leftOut: string[];
  /** What could not be read; an item with problems is rejected. */
  problems: string[];
}

export interface OtlpSpan extends OtlpItem {
  traceId: string;
  spanId: string;
  parentSpanId: string;
  traceState: string;
  name: string;
  kind: number;
  start: UnixNanos;
  end: UnixNanos;
  events: OtlpEvent[];
  droppedEventsCount: number;
  links: OtlpLink[];
  droppedLinksCount: number;
  statusCode: number;
  statusMessage: string;
}

export interface OtlpEvent {
  time: UnixNanos;
  name: string;
  attributes: Attributes;
  droppedAttributesCount: number;
}

export interface OtlpLink {
  traceId: string;
  spanId: string;
  traceState: string;
  attributes: Attributes;
  droppedAttributesCount: number;
}

export interface OtlpLogRecord extends OtlpItem {
  time: UnixNanos;
  observedTime: UnixNanos;
  severityNumber: number;
  severityText: string;
  /** Null where there is none. */
  body: unknown;
  traceId: string;
  spanId: string;
  eventName: string;
}
