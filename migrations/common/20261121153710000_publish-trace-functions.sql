-- Up Migration
SET LOCAL ROLE timespan_owner;

-- These belong to the owner, because the trace locator is not for analysts. What they return comes from the
-- visible_ views, which go by the login of the session.

-- Two statements, each planned with what is known by then: so the second is a plan of the few chunks that the trace lies in.
CREATE FUNCTION timespan.trace_spans(wanted uuid) RETURNS SETOF timespan.spans
LANGUAGE plpgsql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
ROWS 100
AS $$
DECLARE
  first timestamptz;
  last timestamptz;
BEGIN
  SELECT min(first_time), max(last_time) INTO first, last FROM timespan.trace_locator WHERE trace_id = wanted;
  RETURN QUERY
    SELECT stored.*
    FROM (
      -- What a producer sent more than once is shown once; two spans of one id that differ are two.
      SELECT DISTINCT ON (span.span_id, span.service_name, span.span_kind, span.start_time, span.duration_us) span.*
      FROM timespan.visible_spans AS span
      WHERE span.trace_id = wanted AND span.start_time >= first AND span.start_time <= last
      ORDER BY span.span_id, span.service_name, span.span_kind, span.start_time, span.duration_us,
               span.source_id, span.source_offset, span.source_index
    ) AS stored
    ORDER BY stored.start_time, stored.source_id, stored.source_offset, stored.source_index
    LIMIT 10000;
END
$$;
COMMENT ON FUNCTION timespan.trace_spans(uuid) IS 'The spans of a trace that the login of this session may see, the first 10,000 by start.';

CREATE FUNCTION timespan.last_free_step(busy_from timestamptz, from_time timestamptz, to_time timestamptz) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT CASE WHEN busy_from IS NULL OR to_time <= busy_from THEN from_time ELSE busy_from END $$;
COMMENT ON FUNCTION timespan.last_free_step(timestamptz, timestamptz, timestamptz) IS 'One step of timespan.last_free.';
CREATE AGGREGATE timespan.last_free(from_time timestamptz, to_time timestamptz) (sfunc = timespan.last_free_step, stype = timestamptz);
COMMENT ON AGGREGATE timespan.last_free(timestamptz, timestamptz) IS
  'Walks back through ranges that come by falling end: takes each that ends no later than the one taken before began, and returns where the last taken one begins.';

CREATE FUNCTION apm.trace_tree(trace_id uuid)
RETURNS TABLE (
  depth integer,
  path text,
  span_id text,
  parent_span_id text,
  service_name text,
  environment text,
  span_name text,
  span_kind text,
  status_code text,
  start_time timestamptz,
  start_ms double precision,
  duration_ms double precision,
  self_ms double precision,
  is_critical boolean,
  critical_ms double precision,
  error_message text
)
LANGUAGE sql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
ROWS 100
AS $$
  WITH RECURSIVE stored AS MATERIALIZED (
    SELECT
      row_number() OVER (ORDER BY span.start_time, span.source_id, span.source_offset, span.source_index)::integer AS n,
      span.start_time + span.duration_us * INTERVAL '1 microsecond' AS end_time,
      span.*
    FROM timespan.trace_spans(trace_tree.trace_id) AS span
  ),
  -- Where client and server share an id, as Zipkin has it, the server's span is the parent.
  parent AS (
    SELECT DISTINCT ON (stored.span_id) stored.span_id, stored.n
    FROM stored
    ORDER BY stored.span_id, (stored.span_kind = 2) DESC, stored.n
  ),
  linked AS MATERIALIZED (
    SELECT stored.*, parent.n AS parent_n
    FROM stored
    LEFT JOIN parent ON parent.span_id = stored.parent_span_id AND parent.n <> stored.n
  ),
  descent AS (
    SELECT n, 0 AS depth, ARRAY[n] AS place, span_name AS path
    FROM linked
    WHERE parent_n IS NULL
    UNION ALL
    SELECT child.n, descent.depth + 1, descent.place || child.n, descent.path || ' > ' || child.span_name
    FROM descent
    JOIN linked AS child ON child.parent_n = descent.n
    WHERE descent.depth < 1000
  ),
  -- Spans that are their own ancestors hang from nothing, nor does what lies deeper than 1,000.
  placed AS (
    SELECT * FROM descent
    UNION ALL
    SELECT n, 0, ARRAY[n], span_name FROM linked WHERE n NOT IN (SELECT n FROM descent)
  ),
  -- A child as far as it lies within its parent: what begins after its parent ended held nobody up.
  within AS MATERIALIZED (
    SELECT
      child.n,
      child.parent_n,
      greatest(child.start_time, parent.start_time) AS from_time,
      least(child.end_time, parent.end_time) AS to_time
    FROM linked AS child
    JOIN linked AS parent ON parent.n = child.parent_n
    WHERE child.start_time <= parent.end_time AND child.end_time >= parent.start_time
  ),
  covered AS (
    SELECT parent_n AS n, sum(upper(range) - lower(range)) AS duration
    FROM (SELECT parent_n, unnest(range_agg(tstzrange(from_time, to_time))) AS range FROM within GROUP BY parent_n) AS ranges
    GROUP BY parent_n
  ),
  -- The children that their parent waited for last: back from its end, always the one that ended last before.
  awaited AS (
    SELECT walk.*
    FROM (
      SELECT
        within.*,
        timespan.last_free(from_time, to_time) OVER (
          PARTITION BY parent_n ORDER BY to_time DESC, from_time DESC, n DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS busy_from
      FROM within
    ) AS walk
    WHERE busy_from IS NULL OR to_time <= busy_from
  ),
  critical AS (
    (SELECT n, NULL::integer AS parent_n, start_time AS from_time, end_time AS to_time FROM linked WHERE parent_n IS NULL ORDER BY parent_span_id IS NOT NULL, n LIMIT 1)
    UNION ALL
    SELECT awaited.n, awaited.parent_n, greatest(awaited.from_time, critical.from_time), least(awaited.to_time, critical.to_time)
    FROM critical
    JOIN awaited ON awaited.parent_n = critical.n
    WHERE awaited.from_time <= critical.to_time AND awaited.to_time >= critical.from_time
  ),
  handed_on AS (
    SELECT parent_n AS n, sum(to_time - from_time) AS duration FROM critical WHERE parent_n IS NOT NULL GROUP BY parent_n
  )
  SELECT
    placed.depth,
    placed.path,
    lpad(to_hex(linked.span_id), 16, '0'),
    lpad(to_hex(linked.parent_span_id), 16, '0'),
    linked.service_name,
    linked.environment,
    linked.span_name,
    CASE linked.span_kind WHEN 1 THEN 'INTERNAL' WHEN 2 THEN 'SERVER' WHEN 3 THEN 'CLIENT' WHEN 4 THEN 'PRODUCER' WHEN 5 THEN 'CONSUMER' END,
    CASE linked.status_code WHEN 0 THEN 'UNSET' WHEN 1 THEN 'OK' WHEN 2 THEN 'ERROR' END,
    linked.start_time,
    (extract(epoch FROM linked.start_time - min(linked.start_time) OVER ()) * 1000)::double precision,
    linked.duration_us / 1000.0::double precision,
    (linked.duration_us / 1000.0 - coalesce(extract(epoch FROM covered.duration), 0) * 1000)::double precision,
    critical.n IS NOT NULL,
    (extract(epoch FROM critical.to_time - critical.from_time - coalesce(handed_on.duration, INTERVAL '0')) * 1000)::double precision,
    CASE WHEN linked.status_code = 2 THEN coalesce(
      linked.status_message,
      linked.attributes ->> 'exception.message',
      linked.attributes ->> 'error.message',
      jsonb_path_query_first(linked.events, '$[*].attributes."exception.message"') #>> '{}'
    ) END
  FROM placed
  JOIN linked USING (n)
  LEFT JOIN covered USING (n)
  LEFT JOIN critical USING (n)
  LEFT JOIN handed_on USING (n)
  ORDER BY placed.place
$$;
COMMENT ON FUNCTION apm.trace_tree(uuid) IS
  'The spans of a trace as a tree, parents before their children and those by start; the first 10,000. depth: 0 for a root and for a span whose parent is missing. path: the operations from the root down. start_ms: since the first span. self_ms: its duration without the time in which a child ran. is_critical: whether the trace would have been shorter without it; critical_ms: how much of the duration of the root it accounts for, which adds up to that duration. What begins after its parent ended, such as a consumer, is not on the critical path.';

CREATE FUNCTION timespan.trace_log_records(wanted uuid) RETURNS SETOF timespan.log_records
LANGUAGE plpgsql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
ROWS 100
AS $$
DECLARE
  first timestamptz;
  last timestamptz;
BEGIN
  SELECT min(first_time), max(last_time) INTO first, last FROM timespan.trace_locator WHERE trace_id = wanted;
  RETURN QUERY
    SELECT record.*
    FROM timespan.visible_log_records AS record
    WHERE record.trace_id = wanted AND record.time >= first AND record.time <= last
    ORDER BY record.time, record.source_id, record.source_offset, record.source_index
    LIMIT 10000;
END
$$;
COMMENT ON FUNCTION timespan.trace_log_records(uuid) IS 'The log records of a trace that the login of this session may see, the first 10,000 by time.';

CREATE FUNCTION apm.trace_logs(trace_id uuid)
RETURNS TABLE (
  "time" timestamptz,
  level text,
  service_name text,
  environment text,
  message text,
  span_id text,
  span_name text,
  attributes jsonb
)
LANGUAGE sql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
ROWS 100
AS $$
  SELECT
    record.time,
    CASE WHEN record.severity_number < 9 THEN 'DEBUG' WHEN record.severity_number < 13 THEN 'INFO' WHEN record.severity_number < 17 THEN 'WARN' ELSE 'ERROR' END,
    record.service_name,
    record.environment,
    record.body,
    lpad(to_hex(record.span_id), 16, '0'),
    span.span_name,
    record.attributes
  FROM timespan.trace_log_records(trace_logs.trace_id) AS record
  LEFT JOIN (
    SELECT DISTINCT ON (span_id, service_name) span_id, service_name, span_name
    FROM timespan.trace_spans(trace_logs.trace_id)
    ORDER BY span_id, service_name, start_time
  ) AS span ON span.span_id = record.span_id AND span.service_name = record.service_name
  ORDER BY record.time, record.source_id, record.source_offset, record.source_index
$$;
COMMENT ON FUNCTION apm.trace_logs(uuid) IS 'The logs of a trace, oldest first, with the operation each was written in; the first 10,000.';

CREATE FUNCTION apm.grafana_trace(trace_id uuid)
RETURNS TABLE (
  "traceID" text,
  "spanID" text,
  "parentSpanID" text,
  "operationName" text,
  "serviceName" text,
  "startTime" double precision,
  duration double precision,
  tags jsonb,
  "serviceTags" jsonb,
  logs jsonb,
  "statusCode" integer,
  "statusMessage" text
)
LANGUAGE sql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
ROWS 100
AS $$
  WITH stored AS MATERIALIZED (
    SELECT * FROM timespan.trace_spans(grafana_trace.trace_id)
  ),
  entry AS (
    SELECT
      stored.span_id,
      stored.service_name,
      event.time,
      jsonb_build_array(jsonb_build_object('key', 'event', 'value', event.name)) AS own,
      event.attributes
    FROM stored
    CROSS JOIN LATERAL jsonb_to_recordset(stored.events) AS event (time timestamptz, name text, attributes jsonb)
    UNION ALL
    SELECT
      record.span_id,
      record.service_name,
      record.time,
      jsonb_build_array(
        jsonb_build_object('key', 'level', 'value', record.level),
        jsonb_build_object('key', 'message', 'value', record.message)
      ),
      record.attributes
    FROM (
      SELECT ('x' || span_id)::bit(64)::bigint AS span_id, service_name, time, level, message, attributes
      FROM apm.trace_logs(grafana_trace.trace_id)
    ) AS record
  ),
  entries AS (
    SELECT
      span_id,
      service_name,
      jsonb_agg(
        jsonb_build_object(
          'timestamp', extract(epoch FROM time) * 1000,
          'fields', own || coalesce((SELECT jsonb_agg(jsonb_build_object('key', key, 'value', value) ORDER BY key) FROM jsonb_each(entry.attributes)), '[]')
        )
        ORDER BY time, own::text
      ) AS logs
    FROM entry
    GROUP BY span_id, service_name
  )
  SELECT
    replace(stored.trace_id::text, '-', ''),
    lpad(to_hex(stored.span_id), 16, '0'),
    lpad(to_hex(stored.parent_span_id), 16, '0'),
    stored.span_name,
    stored.service_name,
    (extract(epoch FROM stored.start_time) * 1000)::double precision,
    stored.duration_us / 1000.0::double precision,
    (
      SELECT jsonb_agg(jsonb_build_object('key', key, 'value', value) ORDER BY key)
      FROM jsonb_each(jsonb_strip_nulls(jsonb_build_object(
        'span.kind', CASE stored.span_kind WHEN 1 THEN 'internal' WHEN 2 THEN 'server' WHEN 3 THEN 'client' WHEN 4 THEN 'producer' WHEN 5 THEN 'consumer' END,
        'http.request.method', stored.http_method,
        'url.path', stored.http_path,
        'http.response.status_code', stored.http_status_code,
        'peer.service', stored.peer_service
      )) || stored.attributes)
    ),
    (
      SELECT jsonb_agg(jsonb_build_object('key', key, 'value', value) ORDER BY key)
      FROM jsonb_each(
        jsonb_build_object('service.name', stored.service_name, 'deployment.environment.name', stored.environment)
        || coalesce((SELECT resource.attributes FROM timespan.resources AS resource WHERE resource.resource_id = stored.resource_id), '{}')
      )
    ),
    coalesce(entries.logs, '[]'),
    stored.status_code::integer,
    stored.status_message
  FROM stored
  LEFT JOIN entries ON entries.span_id = stored.span_id AND entries.service_name = stored.service_name
  ORDER BY stored.start_time, stored.source_id, stored.source_offset, stored.source_index
$$;
COMMENT ON FUNCTION apm.grafana_trace(uuid) IS
  'A trace as Grafana''s trace panel wants it, one row a span: times in milliseconds, tags, serviceTags and logs as JSON arrays of keys and values. Logs are the events of the span and the log records written in it. statusCode: 0 UNSET, 1 OK, 2 ERROR.';

REVOKE EXECUTE ON FUNCTION
  timespan.trace_spans(uuid), timespan.trace_log_records(uuid), timespan.last_free_step(timestamptz, timestamptz, timestamptz), timespan.last_free(timestamptz, timestamptz),
  apm.trace_tree(uuid), apm.trace_logs(uuid), apm.grafana_trace(uuid)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION apm.trace_tree(uuid), apm.trace_logs(uuid), apm.grafana_trace(uuid) TO timespan_reader, timespan_analyst;

RESET ROLE;
