-- Up Migration
SET LOCAL ROLE timespan_owner;

-- The tables as each engine made them; what is said of them here holds for both.
COMMENT ON TABLE timespan.spans IS 'One row a span, as it was received.';
COMMENT ON TABLE timespan.log_records IS 'One row a log record, as it was received.';
COMMENT ON TABLE timespan.trace_locator IS 'When a trace happened: one row a trace and batch, so that a trace is read from the chunks that hold it instead of from all.';

GRANT INSERT ON timespan.spans, timespan.log_records, timespan.trace_locator TO timespan_writer;
GRANT SELECT ON timespan.spans, timespan.log_records, timespan.trace_locator TO timespan_reader;

-- Rows older than what rollups still refresh as they go. Written one by one they would each invalidate what lies
-- between them; here they wait, at most a minute, to be moved chunk by chunk.
CREATE TABLE timespan.late_spans (LIKE timespan.spans INCLUDING DEFAULTS INCLUDING COMMENTS);
CREATE TABLE timespan.late_log_records (LIKE timespan.log_records INCLUDING DEFAULTS INCLUDING COMMENTS);
COMMENT ON TABLE timespan.late_spans IS 'Spans that came late and wait to be moved to timespan.spans, which has the same columns.';
COMMENT ON TABLE timespan.late_log_records IS 'Log records that came late and wait to be moved to timespan.log_records, which has the same columns.';
CREATE INDEX late_spans_time ON timespan.late_spans (start_time);
CREATE INDEX late_log_records_time ON timespan.late_log_records (time);
GRANT INSERT ON timespan.late_spans, timespan.late_log_records TO timespan_writer;

CREATE FUNCTION timespan.move_late_rows(
  retention_spans interval,
  retention_logs interval,
  bucket interval,
  rows_max integer,
  OUT moved_count bigint,
  OUT expired_count bigint
)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  bucket_start timestamptz;
  step bigint;
BEGIN
  moved_count := 0;
  expired_count := 0;
  -- Another process is at it: what is left is its work.
  IF NOT pg_try_advisory_xact_lock(hashtext('timespan.move_late_rows')) THEN
    RETURN;
  END IF;

  -- What grew older than retention while it waited has no place to go to.
  DELETE FROM timespan.late_spans WHERE start_time < now() - retention_spans;
  GET DIAGNOSTICS step = ROW_COUNT;
  expired_count := expired_count + step;
  DELETE FROM timespan.late_log_records WHERE time < now() - retention_logs;
  GET DIAGNOSTICS step = ROW_COUNT;
  expired_count := expired_count + step;

  -- The oldest bucket only: a transaction then touches one chunk, and invalidates no more than lies within it.
  SELECT date_bin(bucket, min(start_time), TIMESTAMPTZ '2000-01-01 00:00:00+00') INTO bucket_start FROM timespan.late_spans;
  IF bucket_start IS NOT NULL THEN
    WITH moved AS (
      DELETE FROM timespan.late_spans
      WHERE ctid IN (
        SELECT ctid FROM timespan.late_spans WHERE start_time < bucket_start + bucket ORDER BY start_time LIMIT rows_max
      )
      RETURNING *
    )
    INSERT INTO timespan.spans SELECT * FROM moved ORDER BY service_name, start_time;
    GET DIAGNOSTICS step = ROW_COUNT;
    moved_count := moved_count + step;
  END IF;
  SELECT date_bin(bucket, min(time), TIMESTAMPTZ '2000-01-01 00:00:00+00') INTO bucket_start FROM timespan.late_log_records;
  IF bucket_start IS NOT NULL THEN
    WITH moved AS (
      DELETE FROM timespan.late_log_records
      WHERE ctid IN (
        SELECT ctid FROM timespan.late_log_records WHERE time < bucket_start + bucket ORDER BY time LIMIT rows_max
      )
      RETURNING *
    )
    INSERT INTO timespan.log_records SELECT * FROM moved ORDER BY service_name, time;
    GET DIAGNOSTICS step = ROW_COUNT;
    moved_count := moved_count + step;
  END IF;
END
$$;
COMMENT ON FUNCTION timespan.move_late_rows(interval, interval, interval, integer) IS
  'Moves the oldest bucket of late rows to where they belong, and says how many. Called until it moves none.';
REVOKE EXECUTE ON FUNCTION timespan.move_late_rows(interval, interval, interval, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION timespan.move_late_rows(interval, interval, interval, integer) TO timespan_writer;

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
  CASE WHEN severity_number < 9 THEN 'DEBUG' WHEN severity_number < 13 THEN 'INFO' WHEN severity_number < 17 THEN 'WARN' ELSE 'ERROR' END AS level,
  severity_number,
  severity_text,
  body AS message,
  replace(trace_id::text, '-', '') AS trace_id,
  lpad(to_hex(span_id), 16, '0') AS span_id,
  attributes
FROM timespan.log_records;
COMMENT ON VIEW apm.logs IS 'One row a log record.';
COMMENT ON COLUMN apm.logs.time IS 'When the event happened.';
COMMENT ON COLUMN apm.logs.service_name IS 'Name of the service.';
COMMENT ON COLUMN apm.logs.environment IS 'Environment, such as production.';
COMMENT ON COLUMN apm.logs.level IS 'DEBUG, INFO, WARN or ERROR; TRACE counts as DEBUG and FATAL as ERROR.';
COMMENT ON COLUMN apm.logs.severity_text IS 'The level in the words of the client.';
COMMENT ON COLUMN apm.logs.severity_number IS 'The level as OpenTelemetry''s number, 1 to 24, for comparisons: 5 DEBUG, 9 INFO, 13 WARN, 17 ERROR.';
COMMENT ON COLUMN apm.logs.message IS 'The message.';
COMMENT ON COLUMN apm.logs.trace_id IS 'Trace id, 32 hex digits; null where the log belongs to no trace.';
COMMENT ON COLUMN apm.logs.span_id IS 'Span id, 16 hex digits; null where the log belongs to no span.';
COMMENT ON COLUMN apm.logs.attributes IS 'The labels of the log.';

GRANT SELECT ON apm.spans, apm.logs TO timespan_reader, timespan_analyst;

RESET ROLE;
