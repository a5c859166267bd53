-- Up Migration
SET LOCAL ROLE timespan_owner;

CREATE VIEW apm.span_events AS
SELECT
  span.start_time,
  event.time,
  span.service_name,
  span.environment,
  span.span_name,
  span.trace_id,
  span.span_id,
  event.name,
  event.attributes
FROM apm.spans AS span
CROSS JOIN LATERAL jsonb_to_recordset(span.events) AS event (time timestamptz, name text, attributes jsonb);
COMMENT ON VIEW apm.span_events IS 'One row an event of a span, such as an exception.';
COMMENT ON COLUMN apm.span_events.start_time IS 'When its span began; a range of it keeps a query from reading everything.';
COMMENT ON COLUMN apm.span_events.time IS 'When the event happened.';
COMMENT ON COLUMN apm.span_events.service_name IS 'Name of the service.';
COMMENT ON COLUMN apm.span_events.environment IS 'Environment, such as production.';
COMMENT ON COLUMN apm.span_events.span_name IS 'Operation during which it happened.';
COMMENT ON COLUMN apm.span_events.trace_id IS 'Trace id, as in apm.spans.';
COMMENT ON COLUMN apm.span_events.span_id IS 'Span id, as in apm.spans.';
COMMENT ON COLUMN apm.span_events.name IS 'Name of the event: exception, for example.';
COMMENT ON COLUMN apm.span_events.attributes IS 'Attributes of the event: exception.type, exception.message, exception.stacktrace and such.';

-- What is said of the whole trace is asked for one trace at a time, and only when a query shows it: the slowest ten of
-- a day are found by their roots alone. GROUP BY takes roots together that a producer sent twice.
CREATE VIEW apm.traces AS
SELECT
  root.trace_id,
  root.start_time,
  root.service_name,
  root.environment,
  root.span_name AS root_span_name,
  lpad(to_hex(root.span_id), 16, '0') AS root_span_id,
  CASE root.status_code WHEN 0 THEN 'UNSET' WHEN 1 THEN 'OK' WHEN 2 THEN 'ERROR' END AS root_status_code,
  root.duration_us / 1000.0::double precision AS root_duration_ms,
  (
    SELECT (extract(epoch FROM max(span.start_time + span.duration_us * INTERVAL '1 microsecond') - min(span.start_time)) * 1000)::double precision
    FROM timespan.visible_spans AS span
    WHERE span.trace_id = root.trace_id
      AND span.start_time >= root.start_time - INTERVAL '1 minute' AND span.start_time < root.start_time + INTERVAL '1 hour'
  ) AS duration_ms,
  (
    SELECT count(*)
    FROM timespan.visible_spans AS span
    WHERE span.trace_id = root.trace_id
      AND span.start_time >= root.start_time - INTERVAL '1 minute' AND span.start_time < root.start_time + INTERVAL '1 hour'
  ) AS span_count,
  (
    SELECT count(*)
    FROM timespan.visible_spans AS span
    WHERE span.trace_id = root.trace_id AND span.status_code = 2
      AND span.start_time >= root.start_time - INTERVAL '1 minute' AND span.start_time < root.start_time + INTERVAL '1 hour'
  ) AS error_count,
  (
    SELECT array_agg(DISTINCT span.service_name ORDER BY span.service_name)
    FROM timespan.visible_spans AS span
    WHERE span.trace_id = root.trace_id
      AND span.start_time >= root.start_time - INTERVAL '1 minute' AND span.start_time < root.start_time + INTERVAL '1 hour'
  ) AS services,
  (
    SELECT coalesce(array_agg(span.parent_span_id) FILTER (WHERE span.parent_span_id IS NOT NULL), '{}') <@ array_agg(span.span_id)
    FROM timespan.visible_spans AS span
    WHERE span.trace_id = root.trace_id
      AND span.start_time >= root.start_time - INTERVAL '1 minute' AND span.start_time < root.start_time + INTERVAL '1 hour'
  ) AS complete
FROM (
  SELECT trace_id, start_time, service_name, environment, span_name, span_id, status_code, duration_us
  FROM timespan.visible_spans
  WHERE parent_span_id IS NULL
  GROUP BY trace_id, start_time, service_name, environment, span_name, span_id, status_code, duration_us
) AS root;
COMMENT ON VIEW apm.traces IS 'One row a trace that has a root; one for each root, where a trace has several. Of a trace it counts the spans that begin up to a minute before its root and up to an hour after. Traces without a root are found by apm.traces_between.';
COMMENT ON COLUMN apm.traces.trace_id IS 'Trace id, as in apm.spans.';
COMMENT ON COLUMN apm.traces.start_time IS 'When the root began. Give it a range.';
COMMENT ON COLUMN apm.traces.service_name IS 'Service of the root.';
COMMENT ON COLUMN apm.traces.environment IS 'Environment of the root.';
COMMENT ON COLUMN apm.traces.root_span_name IS 'Operation of the root.';
COMMENT ON COLUMN apm.traces.root_span_id IS 'Span id of the root, 16 hex digits.';
COMMENT ON COLUMN apm.traces.root_status_code IS 'OK, ERROR or UNSET: how the root ended.';
COMMENT ON COLUMN apm.traces.root_duration_ms IS 'How long the root took, in milliseconds. Sort by this: it is at hand, the columns below are looked up.';
COMMENT ON COLUMN apm.traces.duration_ms IS 'From the first start of a span to the last end, in milliseconds; more than the root''s where work goes on after its answer.';
COMMENT ON COLUMN apm.traces.span_count IS 'Spans of the trace.';
COMMENT ON COLUMN apm.traces.error_count IS 'Spans with status ERROR.';
COMMENT ON COLUMN apm.traces.services IS 'Services that took part, by name.';
COMMENT ON COLUMN apm.traces.complete IS 'Whether the parent of every span is there.';

-- A body that is parsed here, and runs with the rights and in the plan of whoever calls it: columns that a query does
-- not show are not computed, and the rest is done by several processes.
CREATE FUNCTION apm.traces_between(since timestamptz, until timestamptz DEFAULT now())
RETURNS TABLE (
  trace_id uuid,
  start_time timestamptz,
  service_name text,
  environment text,
  root_span_name text,
  root_span_id text,
  root_status_code text,
  root_duration_ms double precision,
  duration_ms double precision,
  span_count bigint,
  error_count bigint,
  services text[],
  complete boolean
)
LANGUAGE sql
STABLE
PARALLEL SAFE
ROWS 10000
BEGIN ATOMIC
  WITH trace AS (
    SELECT
      span.trace_id,
      min(span.start_time) AS first_time,
      max(span.start_time + span.duration_us * INTERVAL '1 microsecond') AS last_time,
      min(span.start_time) FILTER (WHERE span.parent_span_id IS NULL) AS root_time,
      coalesce(min(span.environment) FILTER (WHERE span.parent_span_id IS NULL), min(span.environment)) AS environment,
      count(*) AS span_count,
      count(*) FILTER (WHERE span.status_code = 2) AS error_count,
      array_agg(span.service_name) AS services,
      array_agg(span.span_id) AS span_ids,
      array_agg(span.parent_span_id) FILTER (WHERE span.parent_span_id IS NOT NULL) AS parent_span_ids
    FROM timespan.visible_spans AS span
    WHERE span.start_time >= since - INTERVAL '1 hour' AND span.start_time < until + INTERVAL '1 hour'
    GROUP BY span.trace_id
  ),
  root AS (
    SELECT DISTINCT ON (span.trace_id) span.*
    FROM timespan.visible_spans AS span
    WHERE span.parent_span_id IS NULL AND span.start_time >= since AND span.start_time < until
    ORDER BY span.trace_id, span.start_time, span.source_id, span.source_offset, span.source_index
  )
  SELECT
    trace.trace_id,
    coalesce(trace.root_time, trace.first_time),
    root.service_name,
    trace.environment,
    root.span_name,
    lpad(to_hex(root.span_id), 16, '0'),
    CASE root.status_code WHEN 0 THEN 'UNSET' WHEN 1 THEN 'OK' WHEN 2 THEN 'ERROR' END,
    root.duration_us / 1000.0::double precision,
    (extract(epoch FROM trace.last_time - trace.first_time) * 1000)::double precision,
    trace.span_count,
    trace.error_count,
    ARRAY(SELECT DISTINCT name FROM unnest(trace.services) AS name ORDER BY name),
    trace.root_time IS NOT NULL AND coalesce(trace.parent_span_ids, '{}') <@ trace.span_ids
  FROM trace
  LEFT JOIN root ON root.trace_id = trace.trace_id
  WHERE coalesce(trace.root_time, trace.first_time) >= since AND coalesce(trace.root_time, trace.first_time) < until;
END;
COMMENT ON FUNCTION apm.traces_between(timestamptz, timestamptz) IS
  'The traces that began from since until before until, also those whose root is missing: their columns of the root are null. Reads every span of that time and of an hour on both sides at once, so it is the way to count traces; apm.traces is the way to list some.';
REVOKE EXECUTE ON FUNCTION apm.traces_between(timestamptz, timestamptz) FROM PUBLIC;

GRANT SELECT ON apm.span_events, apm.traces TO timespan_reader, timespan_analyst;
-- Without a right to its schema nobody can name the view; the function needs the right all the same.
GRANT SELECT ON timespan.visible_spans TO timespan_reader, timespan_analyst;
GRANT EXECUTE ON FUNCTION apm.traces_between(timestamptz, timestamptz) TO timespan_reader, timespan_analyst;

RESET ROLE;
