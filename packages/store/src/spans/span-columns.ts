import { durationBin } from "@timespan/telemetry/duration-bin";
import type { CopyColumn } from "../copy/copy-encoder.ts";
import type { SpanRow } from "../ingest/batch.ts";

/** The columns of `timespan.spans` in the order of the table, and how a row fills each. */
export const spanColumns = (sourceId: number): readonly CopyColumn<SpanRow>[] => [
  { name: "start_time", write: (to, { span }) => to.timestamptz(span.startTimeUs) },
  { name: "duration_us", write: (to, { span }) => to.int8(span.durationUs) },
  { name: "sample_weight", write: (to, { span }) => to.float8(span.sampleWeight) },
  { name: "trace_id", write: (to, { span }) => to.uuidFromHex(span.traceId) },
  { name: "span_id", write: (to, { span }) => to.int8FromHex(span.spanId) },
  {
    name: "parent_span_id",
    write: (to, { span }) => (span.parentSpanId === null ? to.null() : to.int8FromHex(span.parentSpanId)),
  },
  { name: "resource_id", write: (to, { span }) => to.int8FromHex(span.resource.resourceId) },
  { name: "source_offset", write: (to, { source }) => to.int8(source.offset) },
  { name: "source_index", write: (to, { source }) => to.int4(source.index) },
  { name: "source_id", write: (to) => to.int2(sourceId) },
  { name: "duration_bin", write: (to, { span }) => to.int2(durationBin(span.durationUs)) },
  { name: "span_kind", write: (to, { span }) => to.int2(span.spanKind) },
  { name: "status_code", write: (to, { span }) => to.int2(span.statusCode) },
  {
    name: "http_status_code",
    write: (to, { span }) => (span.httpStatusCode === null ? to.null() : to.int2(span.httpStatusCode)),
  },
  { name: "service_name", write: (to, { span }) => to.text(span.serviceName) },
  { name: "environment", write: (to, { span }) => to.text(span.environment) },
  { name: "span_name", write: (to, { span }) => to.text(span.spanName) },
  { name: "endpoint", write: (to, { span }) => to.text(span.endpoint) },
  {
    name: "peer_service",
    write: (to, { span }) => (span.peerService === null ? to.null() : to.text(span.peerService)),
  },
  {
    name: "http_method",
    write: (to, { span }) => (span.httpMethod === null ? to.null() : to.text(span.httpMethod)),
  },
  {
    name: "http_path",
    write: (to, { span }) => (span.httpPath === null ? to.null() : to.text(span.httpPath)),
  },
  {
    name: "status_message",
    write: (to, { span }) => (span.statusMessage === null ? to.null() : to.text(span.statusMessage)),
  },
  { name: "attributes", write: (to, { span }) => to.jsonb(span.attributesJson) },
  {
    name: "events",
    write: (to, { span }) => (span.eventsJson === null ? to.null() : to.jsonb(span.eventsJson)),
  },
  {
    name: "links",
    write: (to, { span }) => (span.linksJson === null ? to.null() : to.jsonb(span.linksJson)),
  },
];
