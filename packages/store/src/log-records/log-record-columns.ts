import type { CopyColumn } from "../copy/copy-encoder.ts";
import type { LogRow } from "../ingest/batch.ts";

/** The columns of `timespan.log_records` in the order of the table, and how a row fills each. */
export const logRecordColumns = (sourceId: number): readonly CopyColumn<LogRow>[] => [
  { name: "time", write: (to, { log }) => to.timestamptz(log.timeUs) },
  {
    name: "trace_id",
    write: (to, { log }) => (log.traceId === null ? to.null() : to.uuidFromHex(log.traceId)),
  },
  { name: "span_id", write: (to, { log }) => (log.spanId === null ? to.null() : to.int8FromHex(log.spanId)) },
  { name: "resource_id", write: (to, { log }) => to.int8FromHex(log.resource.resourceId) },
  { name: "pattern_id", write: (to, { log }) => to.int8FromHex(log.pattern.patternId) },
  { name: "source_offset", write: (to, { source }) => to.int8(source.offset) },
  { name: "source_index", write: (to, { source }) => to.int4(source.index) },
  { name: "source_id", write: (to) => to.int2(sourceId) },
  { name: "severity_number", write: (to, { log }) => to.int2(log.severityNumber) },
  { name: "severity_text", write: (to, { log }) => to.text(log.severityText) },
  { name: "service_name", write: (to, { log }) => to.text(log.serviceName) },
  { name: "environment", write: (to, { log }) => to.text(log.environment) },
  { name: "body", write: (to, { log }) => to.text(log.body) },
  { name: "attributes", write: (to, { log }) => to.jsonb(log.attributesJson) },
];
