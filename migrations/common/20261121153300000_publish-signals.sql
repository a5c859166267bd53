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
  rows_max integer,
  OUT moved_count bigint,
  OUT expired_count bigint
)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  -- Rollups compute anew all that lies between the first and the last row of a transaction in a chunk.
  bucket interval := LEAST(timespan.storage_setting('chunk_interval'), INTERVAL '10 minutes');
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
  DELETE FROM timespan.late_spans
  WHERE start_time < now() - timespan.shortest_retention('retention_spans')
    AND start_time < now() - timespan.retention_of('retention_spans', environment);
  GET DIAGNOSTICS step = ROW_COUNT;
  expired_count := expired_count + step;
  DELETE FROM timespan.late_log_records
  WHERE time < now() - timespan.shortest_retention('retention_logs')
    AND time < now() - timespan.retention_of('retention_logs', environment);
  GET DIAGNOSTICS step = ROW_COUNT;
  expired_count := expired_count + step;

  -- The oldest bucket only: two rows hours apart must not come together.
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
COMMENT ON FUNCTION timespan.move_late_rows(integer) IS
  'Moves the oldest bucket of late rows to where they belong, and says how many. Called until it moves none.';
REVOKE EXECUTE ON FUNCTION timespan.move_late_rows(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION timespan.move_late_rows(integer) TO timespan_writer;

-- What the login may see of a table, as the table has it. For a login that sees everything the first branch is the table
-- itself: every condition reaches its chunks. For others it is a view with a barrier: conditions whose functions could
-- tell of hidden rows (all but the comparisons of one type) are checked after the hidden rows are gone.
CREATE VIEW timespan.restricted_spans WITH (security_barrier) AS
SELECT * FROM timespan.spans
WHERE (timespan.visible_environments() IS NULL OR environment = ANY (timespan.visible_environments()))
  AND (timespan.visible_services() IS NULL OR service_name = ANY (timespan.visible_services()));
COMMENT ON VIEW timespan.restricted_spans IS 'The spans that an analyst with limits may see.';

CREATE VIEW timespan.visible_spans AS
SELECT * FROM timespan.spans WHERE timespan.sees_everything()
UNION ALL
SELECT * FROM timespan.restricted_spans WHERE NOT timespan.sees_everything();
COMMENT ON VIEW timespan.visible_spans IS 'The spans that the login of this session may see.';

CREATE VIEW timespan.restricted_log_records WITH (security_barrier) AS
SELECT * FROM timespan.log_records
WHERE (timespan.visible_environments() IS NULL OR environment = ANY (timespan.visible_environments()))
  AND (timespan.visible_services() IS NULL OR service_name = ANY (timespan.visible_services()));
COMMENT ON VIEW timespan.restricted_log_records IS 'The log records that an analyst with limits may see.';

CREATE VIEW timespan.visible_log_records AS
SELECT * FROM timespan.log_records WHERE timespan.sees_everything()
UNION ALL
SELECT * FROM timespan.restricted_log_records WHERE NOT timespan.sees_everything();
COMMENT ON VIEW timespan.visible_log_records IS 'The log records that the login of this session may see.';

-- Their columns are those of the tables, and so are the comments.
DO $$
DECLARE
  described record;
BEGIN
  FOR described IN
    SELECT prefix || relation.relname AS view_name, attribute.attname, col_description(relation.oid, attribute.attnum) AS text
    FROM pg_class AS relation
    JOIN pg_attribute AS attribute ON attribute.attrelid = relation.oid AND attribute.attnum > 0 AND NOT attribute.attisdropped
    CROSS JOIN (VALUES ('restricted_'), ('visible_')) AS prefixes (prefix)
    WHERE relation.oid IN ('timespan.spans'::regclass, 'timespan.log_records'::regclass)
  LOOP
    EXECUTE format('COMMENT ON COLUMN timespan.%I.%I IS %L', described.view_name, described.attname, described.text);
  END LOOP;
END
$$;

CREATE VIEW apm.spans AS
SELECT
  span.start_time,
  span.service_name,
  span.environment,
  span.span_name,
  span.endpoint,
  CASE span.span_kind WHEN 1 THEN 'INTERNAL' WHEN 2 THEN 'SERVER' WHEN 3 THEN 'CLIENT' WHEN 4 THEN 'PRODUCER' WHEN 5 THEN 'CONSUMER' END AS span_kind,
  CASE span.status_code WHEN 0 THEN 'UNSET' WHEN 1 THEN 'OK' WHEN 2 THEN 'ERROR' END AS status_code,
  span.duration_us / 1000.0::double precision AS duration_ms,
  span.trace_id,
  lpad(to_hex(span.span_id), 16, '0') AS span_id,
  lpad(to_hex(span.parent_span_id), 16, '0') AS parent_span_id,
  span.parent_span_id IS NULL AS is_root,
  CASE WHEN span.status_code = 2 THEN coalesce(
    span.status_message,
    span.attributes ->> 'exception.message',
    span.attributes ->> 'error.message',
    jsonb_path_query_first(span.events, '$[*].attributes."exception.message"') #>> '{}'
  ) END AS error_message,
  span.peer_service,
  span.http_method,
  span.http_path,
  span.http_status_code,
  span.status_message,
  span.sample_weight,
  span.attributes,
  span.events,
  span.links,
  (SELECT resource.attributes FROM timespan.resources AS resource WHERE resource.resource_id = span.resource_id) AS resource,
  span.start_time AS timestamp,
  span.span_name AS operation_name,
  span.duration_us
FROM timespan.visible_spans AS span;
COMMENT ON VIEW apm.spans IS 'One row a span.';
COMMENT ON COLUMN apm.spans.start_time IS 'When the span began. Give it a range: that is what keeps a query from reading everything.';
COMMENT ON COLUMN apm.spans.service_name IS 'Name of the service.';
COMMENT ON COLUMN apm.spans.environment IS 'Environment, such as production.';
COMMENT ON COLUMN apm.spans.span_name IS 'Name of the operation.';
COMMENT ON COLUMN apm.spans.endpoint IS 'The operation with ids taken out of its path, to group by; other where a service had too many.';
COMMENT ON COLUMN apm.spans.span_kind IS 'SERVER, CLIENT, INTERNAL, PRODUCER or CONSUMER.';
COMMENT ON COLUMN apm.spans.status_code IS 'OK, ERROR or UNSET.';
COMMENT ON COLUMN apm.spans.duration_ms IS 'How long it took, in milliseconds.';
COMMENT ON COLUMN apm.spans.trace_id IS 'Trace id. Compares with 32 hex digits, with or without dashes.';
COMMENT ON COLUMN apm.spans.span_id IS 'Span id, 16 hex digits.';
COMMENT ON COLUMN apm.spans.parent_span_id IS 'Span id of the caller; null for the root of a trace.';
COMMENT ON COLUMN apm.spans.is_root IS 'Whether it is the root of its trace.';
COMMENT ON COLUMN apm.spans.error_message IS 'Of a span with status ERROR: its status message, or else the message of its exception.';
COMMENT ON COLUMN apm.spans.peer_service IS 'Whom a client or producer span called, where it says so.';
COMMENT ON COLUMN apm.spans.http_method IS 'HTTP request method.';
COMMENT ON COLUMN apm.spans.http_path IS 'HTTP request path.';
COMMENT ON COLUMN apm.spans.http_status_code IS 'Status code of the HTTP response.';
COMMENT ON COLUMN apm.spans.status_message IS 'What went wrong, in the words of the client.';
COMMENT ON COLUMN apm.spans.sample_weight IS 'How many spans this one stands for: 1, or more where the client sampled. Sum it instead of counting rows.';
COMMENT ON COLUMN apm.spans.attributes IS 'The labels of the span.';
COMMENT ON COLUMN apm.spans.events IS 'Span events, as an array of {time, name, attributes}; one row each in apm.span_events.';
COMMENT ON COLUMN apm.spans.links IS 'Links to other spans, as an array of {trace_id, span_id, attributes}.';
COMMENT ON COLUMN apm.spans.resource IS 'What emitted the span: OpenTelemetry resource attributes.';
COMMENT ON COLUMN apm.spans.timestamp IS 'The same as start_time.';
COMMENT ON COLUMN apm.spans.operation_name IS 'The same as span_name.';
COMMENT ON COLUMN apm.spans.duration_us IS 'The same as duration_ms, in whole microseconds, for exact sums.';

CREATE VIEW apm.logs AS
SELECT
  record.time,
  record.service_name,
  record.environment,
  CASE WHEN record.severity_number < 9 THEN 'DEBUG' WHEN record.severity_number < 13 THEN 'INFO' WHEN record.severity_number < 17 THEN 'WARN' ELSE 'ERROR' END AS level,
  record.severity_number,
  record.severity_text,
  record.body AS message,
  record.trace_id,
  lpad(to_hex(record.span_id), 16, '0') AS span_id,
  record.pattern_id,
  record.attributes,
  (SELECT resource.attributes FROM timespan.resources AS resource WHERE resource.resource_id = record.resource_id) AS resource,
  record.time AS timestamp
FROM timespan.visible_log_records AS record;
COMMENT ON VIEW apm.logs IS 'One row a log record.';
COMMENT ON COLUMN apm.logs.time IS 'When the event happened. Give it a range: that is what keeps a query from reading everything.';
COMMENT ON COLUMN apm.logs.service_name IS 'Name of the service.';
COMMENT ON COLUMN apm.logs.environment IS 'Environment, such as production.';
COMMENT ON COLUMN apm.logs.level IS 'DEBUG, INFO, WARN or ERROR; TRACE counts as DEBUG and FATAL as ERROR.';
COMMENT ON COLUMN apm.logs.severity_text IS 'The level in the words of the client.';
COMMENT ON COLUMN apm.logs.severity_number IS 'The level as OpenTelemetry''s number, 1 to 24, for comparisons: 5 DEBUG, 9 INFO, 13 WARN, 17 ERROR.';
COMMENT ON COLUMN apm.logs.message IS 'The message.';
COMMENT ON COLUMN apm.logs.trace_id IS 'Trace id, as in apm.spans; null where the log belongs to no trace.';
COMMENT ON COLUMN apm.logs.span_id IS 'Span id, 16 hex digits; null where the log belongs to no span.';
COMMENT ON COLUMN apm.logs.pattern_id IS 'What the logs of one statement share: see apm.log_patterns.';
COMMENT ON COLUMN apm.logs.attributes IS 'The labels of the log.';
COMMENT ON COLUMN apm.logs.resource IS 'What emitted the log: OpenTelemetry resource attributes.';
COMMENT ON COLUMN apm.logs.timestamp IS 'The same as time.';

GRANT SELECT ON apm.spans, apm.logs TO timespan_reader, timespan_analyst;

RESET ROLE;
