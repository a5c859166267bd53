import type { CopyColumn } from "../copy/copy-encoder.ts";
import type { SpanRow } from "../ingest/batch.ts";
import { serviceResource } from "../ingest/resource.ts";

/** The columns of `timespan.spans` in the order of the table, and how a row fills each. */
export const spanColumns = (sourceId: number): readonly CopyColumn<SpanRow>[] => [
  { name: "start_time", write: (to, { span }) => to.timestamptz(span.startTimeUs) },
  { name: "duration_us", write: (to, { span }) => to.int8(span.durationUs) },
  { name: "trace_id", write: (to, { span }) => to.uuidFromHex(span.traceId) },
  { name: "span_id", write: (to, { span }) => to.int8FromHex(span.spanId) },
  {
    name: "parent_span_id",
    write: (to, { span }) => (span.parentSpanId === null ? to.null() : to.int8FromHex(span.parentSpanId)),
  },
  {
    name: "resource_id",
    write: (to, { span }) => to.int8FromHex(serviceResource(span.serviceName, span.environment).resourceId),
  },
  { name: "source_offset", write: (to, { source }) => to.int8(source.offset) },
  { name: "source_index", write: (to, { source }) => to.int4(source.index) },
  { name: "source_id", write: (to) => to.int2(sourceId) },
  { name: "span_kind", write: (to, { span }) => to.int2(span.spanKind) },
  { name: "status_code", write: (to, { span }) => to.int2(span.statusCode) },
  {
    name: "http_status_code",
    write: (to, { span }) => (span.httpStatusCode === null ? to.null() : to.int2(span.httpStatusCode)),
  },
  { name: "service_name", write: (to, { span }) => to.text(span.serviceName) },
  { name: "environment", write: (to, { span }) => to.text(span.environment) },
  { name: "span_name", write: (to, { span }) => to.text(span.spanName) },
  {
    name: "http_method",
    write: (to, { span }) => (span.httpMethod === null ? to.null() : to.text(span.httpMethod)),
  },
  {
    name: "http_path",
    write: (to, { span }) => (span.httpPath === null ? to.null() : to.text(span.httpPath)),
  },
  { name: "attributes", write: (to, { span }) => to.jsonb(span.attributesJson) },
];
