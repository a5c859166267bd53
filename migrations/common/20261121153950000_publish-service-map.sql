-- Up Migration
SET LOCAL ROLE timespan_owner;

-- The edges as each engine made them; what is said of them here holds for both.
COMMENT ON VIEW timespan.service_edge_latency_bins_1m IS 'Who called whom: one row a minute, edge and bin of the duration. On plain PostgreSQL computed from all spans: ask timespan.service_edge_bins for a window.';
COMMENT ON VIEW timespan.service_edge_latency_bins_1h IS 'Who called whom: one row an hour, edge and bin of the duration.';
COMMENT ON FUNCTION timespan.service_edge_bins(timestamptz, timestamptz) IS
  'The edges of a window that begins and ends on whole minutes, by bin. A bucket is a minute or an hour: sum them.';
COMMENT ON FUNCTION timespan.service_edges_stored_until() IS 'Up to when edges are derived, exclusive; null before the first.';
COMMENT ON FUNCTION timespan.maintain_service_edges(interval) IS
  'Brings the job that derives edges to what was set; on plain PostgreSQL they are views. Called at start and every hour.';
REVOKE EXECUTE ON FUNCTION timespan.maintain_service_edges(interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION timespan.maintain_service_edges(interval) TO timespan_writer;
DO $$
DECLARE
  meaning record;
BEGIN
  FOR meaning IN
    SELECT format('COMMENT ON COLUMN timespan.%I.%I IS %L', relation.relname, attribute.attname, described.meaning) AS statement
    FROM (VALUES
      ('bucket', 'Start of the time the row covers, up to the next bucket.'),
      ('service_name', 'The service that called.'),
      ('environment', 'Its environment.'),
      ('target_name', 'Whom it called: a service, or what the caller says of a database, queue or host.'),
      ('target_type', 'service, database, queue or external.'),
      ('duration_bin', 'Bin of the duration, as in spans: see apm.percentile.'),
      ('call_count', 'Calls, each as often as its sample_weight says.'),
      ('error_count', 'How many of them had status ERROR.'),
      ('duration_us_sum', 'Sum of their durations in microseconds, each times its weight.'),
      ('duration_us_max', 'The longest duration in microseconds.')
    ) AS described (column_name, meaning)
    JOIN pg_catalog.pg_attribute AS attribute ON attribute.attname = described.column_name
    JOIN pg_catalog.pg_class AS relation ON relation.oid = attribute.attrelid
    WHERE relation.relnamespace = 'timespan'::regnamespace
      AND relation.relname IN ('service_edge_latency_bins_1m', 'service_edge_latency_bins_1h', 'derived_service_edges_1m')
  LOOP
    EXECUTE meaning.statement;
  END LOOP;
END
$$;
GRANT SELECT ON timespan.service_edge_latency_bins_1m, timespan.service_edge_latency_bins_1h TO timespan_reader;

CREATE FUNCTION timespan.health_of(call_count double precision, error_count double precision) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
  WHEN call_count IS NULL OR call_count <= 10 THEN NULL
  WHEN error_count / call_count > 0.10 THEN 'CRITICAL'
  WHEN error_count / call_count > 0.05 THEN 'WARNING'
  WHEN error_count / call_count > 0.01 THEN 'WATCH'
  ELSE 'HEALTHY'
END;
COMMENT ON FUNCTION timespan.health_of(double precision, double precision) IS
  'CRITICAL above 10 % of errors, WARNING above 5 %, WATCH above 1 %, else HEALTHY; null for 10 calls or less, which say little.';

CREATE FUNCTION timespan.service_map_edges(from_time timestamptz, to_time timestamptz, environments text[], services text[])
RETURNS TABLE (
  service_name text,
  target_name text,
  target_type text,
  call_count double precision,
  error_count double precision,
  duration_us_max bigint,
  p50_us double precision,
  p95_us double precision
)
LANGUAGE sql STABLE
AS $$
  WITH visible AS MATERIALIZED (
    SELECT * FROM timespan.service_edge_bins(from_time, to_time) AS bins
    WHERE (environments IS NULL OR bins.environment = ANY (environments))
      AND (services IS NULL OR bins.service_name = ANY (services))
  ), known AS (
    SELECT visible.service_name AS name FROM visible
    UNION
    SELECT visible.target_name FROM visible WHERE visible.target_type = 'service'
  ), bins AS (
    SELECT
      visible.service_name,
      visible.target_name,
      -- A call that a known service never answered is a call of that service, not of a stranger by its name.
      CASE WHEN visible.target_type = 'external' AND visible.target_name IN (SELECT name FROM known) THEN 'service' ELSE visible.target_type END AS target_type,
      visible.duration_bin,
      sum(visible.call_count) AS call_count,
      sum(visible.error_count) AS error_count,
      max(visible.duration_us_max) AS duration_us_max
    FROM visible
    GROUP BY 1, 2, 3, 4
  )
  SELECT
    bins.service_name,
    bins.target_name,
    bins.target_type,
    sum(bins.call_count),
    sum(bins.error_count),
    max(bins.duration_us_max),
    LEAST(apm.percentile(0.5, array_agg(bins.duration_bin), array_agg(bins.call_count)), max(bins.duration_us_max)),
    LEAST(apm.percentile(0.95, array_agg(bins.duration_bin), array_agg(bins.call_count)), max(bins.duration_us_max))
  FROM bins
  GROUP BY GROUPING SETS ((bins.service_name, bins.target_name, bins.target_type), (bins.target_name, bins.target_type))
$$;
COMMENT ON FUNCTION timespan.service_map_edges(timestamptz, timestamptz, text[], text[]) IS
  'The edges of a window of whole minutes, of these environments and calling services (null for all) together; and for each target a row without service_name: all calls to it.';
REVOKE EXECUTE ON FUNCTION timespan.service_map_edges(timestamptz, timestamptz, text[], text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION timespan.service_map_edges(timestamptz, timestamptz, text[], text[]) TO timespan_reader;

CREATE VIEW apm.service_edges_1m WITH (security_barrier) AS
SELECT
  bucket,
  service_name,
  environment,
  target_name,
  target_type,
  sum(call_count) AS call_count,
  sum(error_count) AS error_count,
  sum(error_count) / sum(call_count) AS error_rate,
  sum(duration_us_sum) / sum(call_count) / 1000 AS duration_ms_avg,
  LEAST(apm.percentile(0.5, array_agg(duration_bin), array_agg(call_count)), max(duration_us_max)) / 1000 AS p50_ms,
  LEAST(apm.percentile(0.95, array_agg(duration_bin), array_agg(call_count)), max(duration_us_max)) / 1000 AS p95_ms,
  max(duration_us_max) / 1000.0::double precision AS duration_ms_max
FROM timespan.service_edge_latency_bins_1m
WHERE (timespan.visible_environments() IS NULL OR environment = ANY (timespan.visible_environments()))
  AND (timespan.visible_services() IS NULL OR service_name = ANY (timespan.visible_services()))
GROUP BY 1, 2, 3, 4, 5;
COMMENT ON VIEW apm.service_edges_1m IS 'Who called whom: one row a minute and edge.';

CREATE VIEW apm.service_edges_1h WITH (security_barrier) AS
SELECT
  bucket,
  service_name,
  environment,
  target_name,
  target_type,
  sum(call_count) AS call_count,
  sum(error_count) AS error_count,
  sum(error_count) / sum(call_count) AS error_rate,
  sum(duration_us_sum) / sum(call_count) / 1000 AS duration_ms_avg,
  LEAST(apm.percentile(0.5, array_agg(duration_bin), array_agg(call_count)), max(duration_us_max)) / 1000 AS p50_ms,
  LEAST(apm.percentile(0.95, array_agg(duration_bin), array_agg(call_count)), max(duration_us_max)) / 1000 AS p95_ms,
  max(duration_us_max) / 1000.0::double precision AS duration_ms_max
FROM timespan.service_edge_latency_bins_1h
WHERE (timespan.visible_environments() IS NULL OR environment = ANY (timespan.visible_environments()))
  AND (timespan.visible_services() IS NULL OR service_name = ANY (timespan.visible_services()))
GROUP BY 1, 2, 3, 4, 5;
COMMENT ON VIEW apm.service_edges_1h IS 'Who called whom: one row an hour and edge.';

CREATE VIEW apm.dependency_health WITH (security_barrier) AS
SELECT
  bucket,
  service_name,
  environment,
  target_name,
  target_type,
  call_count,
  error_count,
  error_rate,
  p95_ms,
  timespan.health_of(call_count, error_count) AS health
FROM apm.service_edges_1h
WHERE call_count > 10;
COMMENT ON VIEW apm.dependency_health IS 'How well each dependency served its callers: one row an hour and edge with more than 10 calls.';
COMMENT ON COLUMN apm.dependency_health.health IS 'CRITICAL above 10 % of errors, WARNING above 5 %, WATCH above 1 %, else HEALTHY.';

DO $$
DECLARE
  meaning record;
BEGIN
  FOR meaning IN
    SELECT format('COMMENT ON COLUMN apm.%I.%I IS %L', relation.relname, attribute.attname, described.meaning) AS statement
    FROM (VALUES
      ('bucket', 'Start of the time the row covers, up to the next bucket. Give it a range.'),
      ('service_name', 'The service that called.'),
      ('environment', 'Its environment, such as production.'),
      ('target_name', 'Whom it called: a service, or what the caller says of a database, queue or host.'),
      ('target_type', 'service, where the other side sent spans too; else database, queue or external.'),
      ('call_count', 'Calls, each as often as its sample_weight says.'),
      ('error_count', 'How many of them had status ERROR: on the side of the service called, else on the caller''s.'),
      ('error_rate', 'error_count / call_count, 0 to 1.'),
      ('duration_ms_avg', 'Their average duration in milliseconds, as measured on the same side.'),
      ('p50_ms', 'Median of their duration in milliseconds, within 1.1 %.'),
      ('p95_ms', '95th percentile of their duration in milliseconds, within 1.1 %.'),
      ('duration_ms_max', 'The longest duration in milliseconds.')
    ) AS described (column_name, meaning)
    JOIN pg_catalog.pg_attribute AS attribute ON attribute.attname = described.column_name
    JOIN pg_catalog.pg_class AS relation ON relation.oid = attribute.attrelid
    WHERE relation.relnamespace = 'apm'::regnamespace
      AND relation.relname IN ('service_edges_1m', 'service_edges_1h', 'dependency_health')
  LOOP
    EXECUTE meaning.statement;
  END LOOP;
END
$$;
GRANT SELECT ON apm.service_edges_1m, apm.service_edges_1h, apm.dependency_health TO timespan_reader, timespan_analyst;

-- SECURITY DEFINER throughout: what the login may see is known by its session, whoever owns the function.
CREATE FUNCTION timespan.visible_edges(since timestamptz, until timestamptz, only_environment text)
RETURNS TABLE (
  service_name text,
  target_name text,
  target_type text,
  call_count double precision,
  error_count double precision,
  p95_ms double precision
)
LANGUAGE sql STABLE
AS $$
  SELECT edge.service_name, edge.target_name, edge.target_type, edge.call_count, edge.error_count, edge.p95_us / 1000
  FROM timespan.service_map_edges(
    date_trunc('minute', since),
    date_trunc('minute', until),
    CASE
      WHEN only_environment IS NULL THEN timespan.visible_environments()
      WHEN timespan.visible_environments() IS NULL OR only_environment = ANY (timespan.visible_environments()) THEN ARRAY[only_environment]
      ELSE ARRAY[]::text[]
    END,
    timespan.visible_services()
  ) AS edge
$$;
COMMENT ON FUNCTION timespan.visible_edges(timestamptz, timestamptz, text) IS
  'service_map_edges, of what the login of this session may see.';
REVOKE EXECUTE ON FUNCTION timespan.visible_edges(timestamptz, timestamptz, text) FROM PUBLIC;

CREATE FUNCTION apm.downstream(service text, since timestamptz DEFAULT now() - INTERVAL '1 hour', until timestamptz DEFAULT now(), environment text DEFAULT NULL)
RETURNS TABLE (depth integer, name text, type text, path text[])
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
  WITH RECURSIVE edge AS MATERIALIZED (
    SELECT service_name, target_name, target_type FROM timespan.visible_edges($2, $3, $4) WHERE service_name IS NOT NULL
  ), walk (depth, name, type) AS (
    SELECT 0, service, 'service'
    UNION
    SELECT walk.depth + 1, edge.target_name, edge.target_type
    FROM walk
    JOIN edge ON edge.service_name = walk.name AND walk.type = 'service'
    WHERE walk.depth < 10
  ), reached AS (
    SELECT min(walk.depth) AS depth, walk.name, walk.type FROM walk GROUP BY walk.name, walk.type
  ), tree AS (
    -- One way to each: where everybody calls everybody, there are more shortest ways than could be listed.
    SELECT DISTINCT ON (reached.name, reached.type) reached.depth, reached.name, reached.type, caller.name AS caller_name
    FROM reached
    JOIN edge ON edge.target_name = reached.name AND edge.target_type = reached.type
    JOIN reached AS caller
      ON caller.name = edge.service_name AND caller.type = 'service' AND caller.depth = reached.depth - 1
    ORDER BY reached.name, reached.type, caller.name
  ), way (depth, name, type, path) AS (
    SELECT 0, service, 'service', ARRAY[service]
    UNION ALL
    SELECT tree.depth, tree.name, tree.type, way.path || tree.name
    FROM way
    JOIN tree ON tree.caller_name = way.name AND way.type = 'service'
  )
  SELECT way.depth, way.name, way.type, way.path FROM way WHERE way.depth > 0 ORDER BY way.depth, way.name, way.type
$$;
COMMENT ON FUNCTION apm.downstream(text, timestamptz, timestamptz, text) IS
  'Everything that a service calls, directly (depth 1) or by way of others, up to 10 steps, with a shortest path to it. Of the last hour unless since and until say otherwise.';

CREATE FUNCTION apm.upstream(service text, since timestamptz DEFAULT now() - INTERVAL '1 hour', until timestamptz DEFAULT now(), environment text DEFAULT NULL)
RETURNS TABLE (depth integer, name text, path text[])
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
  WITH RECURSIVE edge AS MATERIALIZED (
    SELECT service_name, target_name, target_type FROM timespan.visible_edges($2, $3, $4) WHERE service_name IS NOT NULL
  ), walk (depth, name) AS (
    SELECT 1, edge.service_name FROM edge WHERE edge.target_name = service
    UNION
    SELECT walk.depth + 1, edge.service_name
    FROM walk
    JOIN edge ON edge.target_name = walk.name AND edge.target_type = 'service'
    WHERE walk.depth < 10
  ), reached AS (
    SELECT min(walk.depth) AS depth, walk.name FROM walk WHERE walk.name <> service GROUP BY walk.name
  ), tree AS (
    -- As in apm.downstream.
    SELECT DISTINCT ON (reached.name) reached.depth, reached.name, called.name AS called_name
    FROM reached
    JOIN edge ON edge.service_name = reached.name AND edge.target_type = 'service'
    JOIN reached AS called ON called.name = edge.target_name AND called.depth = reached.depth - 1
    WHERE reached.depth > 1
    ORDER BY reached.name, called.name
  ), way (depth, name, path) AS (
    SELECT reached.depth, reached.name, ARRAY[reached.name, service] FROM reached WHERE reached.depth = 1
    UNION ALL
    SELECT tree.depth, tree.name, tree.name || way.path
    FROM way
    JOIN tree ON tree.called_name = way.name
  )
  SELECT way.depth, way.name, way.path FROM way ORDER BY way.depth, way.name
$$;
COMMENT ON FUNCTION apm.upstream(text, timestamptz, timestamptz, text) IS
  'Every service that calls a service, database, queue or host, directly (depth 1) or by way of others, up to 10 steps, with a shortest path from it. Of the last hour unless since and until say otherwise.';

CREATE FUNCTION apm.grafana_edges(since timestamptz DEFAULT now() - INTERVAL '1 hour', until timestamptz DEFAULT now(), environment text DEFAULT NULL)
RETURNS TABLE (
  id text,
  source text,
  target text,
  mainstat double precision,
  secondarystat double precision,
  detail__errors double precision,
  detail__p95_ms double precision
)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT
    format('service:%s>%s:%s', edge.service_name, edge.target_type, edge.target_name),
    'service:' || edge.service_name,
    edge.target_type || ':' || edge.target_name,
    edge.call_count,
    edge.error_count / edge.call_count * 100,
    edge.error_count,
    edge.p95_ms
  FROM timespan.visible_edges($1, $2, $3) AS edge
  WHERE edge.service_name IS NOT NULL
  ORDER BY 1
$$;
COMMENT ON FUNCTION apm.grafana_edges(timestamptz, timestamptz, text) IS
  'Edges for Grafana''s node graph: mainstat is calls, secondarystat the percentage of errors. SELECT * FROM apm.grafana_edges($__timeFrom(), $__timeTo()).';

CREATE FUNCTION apm.grafana_nodes(since timestamptz DEFAULT now() - INTERVAL '1 hour', until timestamptz DEFAULT now(), environment text DEFAULT NULL)
RETURNS TABLE (
  id text,
  title text,
  subtitle text,
  mainstat double precision,
  secondarystat double precision,
  arc__ok double precision,
  arc__errors double precision,
  detail__health text
)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
  WITH edge AS MATERIALIZED (
    SELECT * FROM timespan.visible_edges($1, $2, $3)
  ), service AS (
    SELECT
      red.service_name AS name,
      sum(red.span_count) FILTER (WHERE red.span_kind = 2) AS request_count,
      sum(red.error_count) FILTER (WHERE red.span_kind = 2) AS error_count
    FROM timespan.service_red_1m AS red
    WHERE red.bucket >= date_trunc('minute', $1)
      AND red.bucket < date_trunc('minute', $2)
      AND ($3 IS NULL OR red.environment = $3)
      AND (timespan.visible_environments() IS NULL OR red.environment = ANY (timespan.visible_environments()))
      AND (timespan.visible_services() IS NULL OR red.service_name = ANY (timespan.visible_services()))
    GROUP BY 1
  ), node AS (
    SELECT 'service' AS type, service.name, service.request_count AS call_count, service.error_count FROM service
    UNION ALL
    -- Whom somebody calls, and of whom there are no spans in the window, or none that may be seen.
    SELECT edge.target_type, edge.target_name, edge.call_count, edge.error_count
    FROM edge
    WHERE edge.service_name IS NULL
      AND NOT (edge.target_type = 'service' AND edge.target_name IN (SELECT service.name FROM service))
    UNION ALL
    SELECT DISTINCT 'service', edge.service_name, NULL::double precision, NULL::double precision
    FROM edge
    WHERE edge.service_name NOT IN (SELECT service.name FROM service)
      AND NOT EXISTS (SELECT FROM edge AS called WHERE called.service_name IS NULL AND called.target_type = 'service' AND called.target_name = edge.service_name)
  )
  SELECT
    node.type || ':' || node.name,
    node.name,
    node.type,
    coalesce(node.call_count, 0),
    coalesce(node.error_count / nullif(node.call_count, 0), 0) * 100,
    1 - coalesce(node.error_count / nullif(node.call_count, 0), 0),
    coalesce(node.error_count / nullif(node.call_count, 0), 0),
    timespan.health_of(node.call_count, node.error_count)
  FROM node
  ORDER BY 1
$$;
COMMENT ON FUNCTION apm.grafana_nodes(timestamptz, timestamptz, text) IS
  'Nodes for Grafana''s node graph: mainstat is requests of a service or calls to what is none, secondarystat the percentage of errors. SELECT * FROM apm.grafana_nodes($__timeFrom(), $__timeTo()).';

DO $$
DECLARE
  published regprocedure;
BEGIN
  FOREACH published IN ARRAY ARRAY[
    'apm.downstream(text, timestamptz, timestamptz, text)',
    'apm.upstream(text, timestamptz, timestamptz, text)',
    'apm.grafana_edges(timestamptz, timestamptz, text)',
    'apm.grafana_nodes(timestamptz, timestamptz, text)'
  ]::regprocedure[] LOOP
    EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', published);
    EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO timespan_reader, timespan_analyst', published);
  END LOOP;
END
$$;

RESET ROLE;
