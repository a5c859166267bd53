-- Up Migration
SET LOCAL ROLE timespan_owner;

-- The tables as each engine made them; what is said of them here holds for both.
COMMENT ON TABLE timespan.spans IS 'One row a span, as it was received.';
COMMENT ON TABLE timespan.log_records IS 'One row a log record, as it was received.';
COMMENT ON TABLE timespan.trace_locator IS 'When a trace happened: one row a trace and batch, so that a trace is read from the chunks that hold it instead of from all.';

GRANT INSERT ON timespan.spans, timespan.log_records, timespan.trace_locator TO timespan_writer;
GRANT SELECT ON timespan.spans, timespan.log_records, timespan.trace_locator TO timespan_reader;

CREATE VIEW apm.spans AS
SELECT
  start_time,
  service_name,
  environment,
  span_name,
  endpoint,
  CASE span_kind WHEN 1 THEN 'INTERNAL' WHEN 2 THEN 'SERVER' WHEN 3 THEN 'CLIENT' WHEN 4 THEN 'PRODUCER' WHEN 5 THEN 'CONSUMER' END AS span_kind,
  CASE status_code WHEN 0 THEN 'UNSET' WHEN 1 THEN 'OK' WHEN 2 THEN 'ERROR' END AS status_code,
  duration_us / 1000.0::double precision AS duration_ms,
  replace(trace_id::text, '-', '') AS trace_id,
  lpad(to_hex(span_id), 16, '0') AS span_id,
  lpad(to_hex(parent_span_id), 16, '0') AS parent_span_id,
  peer_service,
  http_method,
  http_path,
  http_status_code,
  status_message,
  sample_weight,
  attributes,
  events,
  links
FROM timespan.spans;
COMMENT ON VIEW apm.spans IS 'One row a span.';
COMMENT ON COLUMN apm.spans.start_time IS 'When the span began.';
COMMENT ON COLUMN apm.spans.service_name IS 'Name of the service.';
COMMENT ON COLUMN apm.spans.environment IS 'Environment, such as production.';
COMMENT ON COLUMN apm.spans.span_name IS 'Name of the operation.';
COMMENT ON COLUMN apm.spans.endpoint IS 'The operation with ids taken out of its path, to group by; other where a service had too many.';
COMMENT ON COLUMN apm.spans.span_kind IS 'SERVER, CLIENT, INTERNAL, PRODUCER or CONSUMER.';
COMMENT ON COLUMN apm.spans.status_code IS 'OK, ERROR or UNSET.';
COMMENT ON COLUMN apm.spans.duration_ms IS 'How long it took, in milliseconds.';
COMMENT ON COLUMN apm.spans.trace_id IS 'Trace id, 32 hex digits.';
COMMENT ON COLUMN apm.spans.span_id IS 'Span id, 16 hex digits.';
COMMENT ON COLUMN apm.spans.parent_span_id IS 'Span id of the caller; null for the root of a trace.';
COMMENT ON COLUMN apm.spans.peer_service IS 'Whom a client or producer span called, where it says so.';
COMMENT ON COLUMN apm.spans.http_method IS 'HTTP request method.';
COMMENT ON COLUMN apm.spans.http_path IS 'HTTP request path.';
COMMENT ON COLUMN apm.spans.http_status_code IS 'Status code of the HTTP response.';
COMMENT ON COLUMN apm.spans.status_message IS 'What went wrong, in the words of the client.';
COMMENT ON COLUMN apm.spans.sample_weight IS 'How many spans this one stands for: 1, or more where the client sampled. Sum it instead of counting rows.';
COMMENT ON COLUMN apm.spans.attributes IS 'The labels of the span.';
COMMENT ON COLUMN apm.spans.events IS 'Span events, as an array of {time, name, attributes}.';
COMMENT ON COLUMN apm.spans.links IS 'Links to other spans, as an array of {trace_id, span_id, attributes}.';

CREATE VIEW apm.logs AS
SELECT
  time,
  service_name,
  environment,
  severity_text AS level,
  severity_number,
  body AS message,
  replace(trace_id::text, '-', '') AS trace_id,
  lpad(to_hex(span_id), 16, '0') AS span_id,
  attributes
FROM timespan.log_records;
COMMENT ON VIEW apm.logs IS 'One row a log record.';
COMMENT ON COLUMN apm.logs.time IS 'When the event happened.';
COMMENT ON COLUMN apm.logs.service_name IS 'Name of the service.';
COMMENT ON COLUMN apm.logs.environment IS 'Environment, such as production.';
COMMENT ON COLUMN apm.logs.level IS 'DEBUG, INFO, WARN or ERROR.';
COMMENT ON COLUMN apm.logs.severity_number IS 'The level as OpenTelemetry''s number, for comparisons: 5, 9, 13 or 17.';
COMMENT ON COLUMN apm.logs.message IS 'The message.';
COMMENT ON COLUMN apm.logs.trace_id IS 'Trace id, 32 hex digits; null where the log belongs to no trace.';
COMMENT ON COLUMN apm.logs.span_id IS 'Span id, 16 hex digits; null where the log belongs to no span.';
COMMENT ON COLUMN apm.logs.attributes IS 'The labels of the log.';

GRANT SELECT ON apm.spans, apm.logs TO timespan_reader, timespan_analyst;

RESET ROLE;
