-- Up Migration
SET LOCAL ROLE timespan_owner;

-- Raw spans are read once: timespan.endpoint_latency_bins_1m carries what every other rollup of spans is built from by
-- sums and maxima. All levels are real-time: rows above what was refreshed are computed when asked, so no reader has to
-- know how far a refresh came. Sums are of float8 and exact in any order, as weights are multiples of 1/1024.

CREATE MATERIALIZED VIEW timespan.endpoint_latency_bins_1m
WITH (tsdb.continuous, tsdb.materialized_only = false, tsdb.create_group_indexes = false, tsdb.chunk_interval = '6 hours') AS
SELECT
  public.time_bucket(INTERVAL '1 minute', start_time) AS bucket,
  service_name,
  environment,
  endpoint,
  span_kind,
  duration_bin,
  sum(sample_weight) AS span_count,
  coalesce(sum(sample_weight) FILTER (WHERE status_code = 2), 0) AS error_count,
  max(duration_us) AS duration_us_max,
  sum(duration_us * sample_weight) AS duration_us_sum,
  coalesce(sum(sample_weight) FILTER (WHERE duration_us <= 500000 AND status_code <> 2), 0) AS apdex_satisfied_count,
  coalesce(sum(sample_weight) FILTER (WHERE duration_us > 500000 AND duration_us <= 2000000 AND status_code <> 2), 0) AS apdex_tolerating_count
FROM timespan.spans
GROUP BY 1, 2, 3, 4, 5, 6
WITH NO DATA;

CREATE MATERIALIZED VIEW timespan.endpoint_red_1m
WITH (tsdb.continuous, tsdb.materialized_only = false, tsdb.create_group_indexes = false, tsdb.chunk_interval = '6 hours') AS
SELECT
  public.time_bucket(INTERVAL '1 minute', bucket) AS bucket,
  service_name,
  environment,
  endpoint,
  span_kind,
  sum(span_count) AS span_count,
  sum(error_count) AS error_count,
  sum(duration_us_sum) AS duration_us_sum,
  max(duration_us_max) AS duration_us_max,
  sum(apdex_satisfied_count) AS apdex_satisfied_count,
  sum(apdex_tolerating_count) AS apdex_tolerating_count
FROM timespan.endpoint_latency_bins_1m
GROUP BY 1, 2, 3, 4, 5
WITH NO DATA;

CREATE MATERIALIZED VIEW timespan.service_latency_bins_1m
WITH (tsdb.continuous, tsdb.materialized_only = false, tsdb.create_group_indexes = false, tsdb.chunk_interval = '6 hours') AS
SELECT
  public.time_bucket(INTERVAL '1 minute', bucket) AS bucket,
  service_name,
  environment,
  span_kind,
  duration_bin,
  sum(span_count) AS span_count,
  sum(error_count) AS error_count,
  max(duration_us_max) AS duration_us_max
FROM timespan.endpoint_latency_bins_1m
GROUP BY 1, 2, 3, 4, 5
WITH NO DATA;

CREATE MATERIALIZED VIEW timespan.service_red_1m
WITH (tsdb.continuous, tsdb.materialized_only = false, tsdb.create_group_indexes = false, tsdb.chunk_interval = '6 hours') AS
SELECT
  public.time_bucket(INTERVAL '1 minute', bucket) AS bucket,
  service_name,
  environment,
  span_kind,
  sum(span_count) AS span_count,
  sum(error_count) AS error_count,
  sum(duration_us_sum) AS duration_us_sum,
  max(duration_us_max) AS duration_us_max,
  sum(apdex_satisfied_count) AS apdex_satisfied_count,
  sum(apdex_tolerating_count) AS apdex_tolerating_count
FROM timespan.endpoint_red_1m
GROUP BY 1, 2, 3, 4
WITH NO DATA;

-- Ten minutes of one service is what a chart of a day or a week is made of: a tenth of the minutes' buckets, and bins
-- that are full, so that a chart of a hundred times the spans reads hardly more rows.
CREATE MATERIALIZED VIEW timespan.service_latency_bins_10m
WITH (tsdb.continuous, tsdb.materialized_only = false, tsdb.create_group_indexes = false, tsdb.chunk_interval = '1 day') AS
SELECT
  public.time_bucket(INTERVAL '10 minutes', bucket) AS bucket,
  service_name,
  environment,
  span_kind,
  duration_bin,
  sum(span_count) AS span_count,
  sum(error_count) AS error_count,
  max(duration_us_max) AS duration_us_max
FROM timespan.service_latency_bins_1m
GROUP BY 1, 2, 3, 4, 5
WITH NO DATA;

CREATE MATERIALIZED VIEW timespan.service_red_10m
WITH (tsdb.continuous, tsdb.materialized_only = false, tsdb.create_group_indexes = false, tsdb.chunk_interval = '1 day') AS
SELECT
  public.time_bucket(INTERVAL '10 minutes', bucket) AS bucket,
  service_name,
  environment,
  span_kind,
  sum(span_count) AS span_count,
  sum(error_count) AS error_count,
  sum(duration_us_sum) AS duration_us_sum,
  max(duration_us_max) AS duration_us_max,
  sum(apdex_satisfied_count) AS apdex_satisfied_count,
  sum(apdex_tolerating_count) AS apdex_tolerating_count
FROM timespan.service_red_1m
GROUP BY 1, 2, 3, 4
WITH NO DATA;

CREATE MATERIALIZED VIEW timespan.endpoint_latency_bins_1h
WITH (tsdb.continuous, tsdb.materialized_only = false, tsdb.create_group_indexes = false, tsdb.chunk_interval = '1 day') AS
SELECT
  public.time_bucket(INTERVAL '1 hour', bucket) AS bucket,
  service_name,
  environment,
  endpoint,
  span_kind,
  duration_bin,
  sum(span_count) AS span_count,
  sum(error_count) AS error_count,
  max(duration_us_max) AS duration_us_max
FROM timespan.endpoint_latency_bins_1m
GROUP BY 1, 2, 3, 4, 5, 6
WITH NO DATA;

CREATE MATERIALIZED VIEW timespan.endpoint_red_1h
WITH (tsdb.continuous, tsdb.materialized_only = false, tsdb.create_group_indexes = false, tsdb.chunk_interval = '1 day') AS
SELECT
  public.time_bucket(INTERVAL '1 hour', bucket) AS bucket,
  service_name,
  environment,
  endpoint,
  span_kind,
  sum(span_count) AS span_count,
  sum(error_count) AS error_count,
  sum(duration_us_sum) AS duration_us_sum,
  max(duration_us_max) AS duration_us_max,
  sum(apdex_satisfied_count) AS apdex_satisfied_count,
  sum(apdex_tolerating_count) AS apdex_tolerating_count
FROM timespan.endpoint_red_1m
GROUP BY 1, 2, 3, 4, 5
WITH NO DATA;

CREATE MATERIALIZED VIEW timespan.service_latency_bins_1h
WITH (tsdb.continuous, tsdb.materialized_only = false, tsdb.create_group_indexes = false, tsdb.chunk_interval = '1 day') AS
SELECT
  public.time_bucket(INTERVAL '1 hour', bucket) AS bucket,
  service_name,
  environment,
  span_kind,
  duration_bin,
  sum(span_count) AS span_count,
  sum(error_count) AS error_count,
  max(duration_us_max) AS duration_us_max
FROM timespan.service_latency_bins_10m
GROUP BY 1, 2, 3, 4, 5
WITH NO DATA;

CREATE MATERIALIZED VIEW timespan.service_red_1h
WITH (tsdb.continuous, tsdb.materialized_only = false, tsdb.create_group_indexes = false, tsdb.chunk_interval = '1 day') AS
SELECT
  public.time_bucket(INTERVAL '1 hour', bucket) AS bucket,
  service_name,
  environment,
  span_kind,
  sum(span_count) AS span_count,
  sum(error_count) AS error_count,
  sum(duration_us_sum) AS duration_us_sum,
  max(duration_us_max) AS duration_us_max,
  sum(apdex_satisfied_count) AS apdex_satisfied_count,
  sum(apdex_tolerating_count) AS apdex_tolerating_count
FROM timespan.service_red_10m
GROUP BY 1, 2, 3, 4
WITH NO DATA;

CREATE MATERIALIZED VIEW timespan.log_counts_1m
WITH (tsdb.continuous, tsdb.materialized_only = false, tsdb.create_group_indexes = false, tsdb.chunk_interval = '6 hours') AS
SELECT
  public.time_bucket(INTERVAL '1 minute', time) AS bucket,
  service_name,
  environment,
  severity_number,
  pattern_id,
  count(*)::double precision AS log_count
FROM timespan.log_records
GROUP BY 1, 2, 3, 4, 5
WITH NO DATA;

CREATE MATERIALIZED VIEW timespan.log_counts_1h
WITH (tsdb.continuous, tsdb.materialized_only = false, tsdb.create_group_indexes = false, tsdb.chunk_interval = '1 day') AS
SELECT
  public.time_bucket(INTERVAL '1 hour', bucket) AS bucket,
  service_name,
  environment,
  severity_number,
  pattern_id,
  sum(log_count) AS log_count
FROM timespan.log_counts_1m
GROUP BY 1, 2, 3, 4, 5
WITH NO DATA;

-- One index beside that on bucket: a service's own rows, of the kind that is asked for (SERVER, nearly always).
CREATE INDEX endpoint_latency_bins_1m_service ON timespan.endpoint_latency_bins_1m (service_name, span_kind, bucket);
CREATE INDEX endpoint_red_1m_service ON timespan.endpoint_red_1m (service_name, span_kind, bucket);
CREATE INDEX service_latency_bins_1m_service ON timespan.service_latency_bins_1m (service_name, span_kind, bucket);
CREATE INDEX service_red_1m_service ON timespan.service_red_1m (service_name, span_kind, bucket);
CREATE INDEX service_latency_bins_10m_service ON timespan.service_latency_bins_10m (service_name, span_kind, bucket);
CREATE INDEX service_red_10m_service ON timespan.service_red_10m (service_name, span_kind, bucket);
CREATE INDEX endpoint_latency_bins_1h_service ON timespan.endpoint_latency_bins_1h (service_name, span_kind, bucket);
CREATE INDEX endpoint_red_1h_service ON timespan.endpoint_red_1h (service_name, span_kind, bucket);
CREATE INDEX service_latency_bins_1h_service ON timespan.service_latency_bins_1h (service_name, span_kind, bucket);
CREATE INDEX service_red_1h_service ON timespan.service_red_1h (service_name, span_kind, bucket);
CREATE INDEX log_counts_1m_service ON timespan.log_counts_1m (service_name, bucket);
CREATE INDEX log_counts_1h_service ON timespan.log_counts_1h (service_name, bucket);

-- Segments of a service and kind: a question about one opens no batch of another.
DO $$
DECLARE
  rollup text;
BEGIN
  FOREACH rollup IN ARRAY ARRAY['endpoint_latency_bins_1m', 'endpoint_latency_bins_1h'] LOOP
    EXECUTE format(
      'ALTER MATERIALIZED VIEW timespan.%I SET (tsdb.enable_columnstore, tsdb.segmentby = %L, tsdb.orderby = %L)',
      rollup, 'service_name, span_kind', 'bucket DESC, environment, endpoint, duration_bin'
    );
  END LOOP;
  FOREACH rollup IN ARRAY ARRAY['service_latency_bins_1m', 'service_latency_bins_10m', 'service_latency_bins_1h'] LOOP
    EXECUTE format(
      'ALTER MATERIALIZED VIEW timespan.%I SET (tsdb.enable_columnstore, tsdb.segmentby = %L, tsdb.orderby = %L)',
      rollup, 'service_name, span_kind', 'bucket DESC, environment, duration_bin'
    );
  END LOOP;
  FOREACH rollup IN ARRAY ARRAY['endpoint_red_1m', 'endpoint_red_1h'] LOOP
    EXECUTE format(
      'ALTER MATERIALIZED VIEW timespan.%I SET (tsdb.enable_columnstore, tsdb.segmentby = %L, tsdb.orderby = %L)',
      rollup, 'service_name, span_kind', 'bucket DESC, environment, endpoint'
    );
  END LOOP;
  FOREACH rollup IN ARRAY ARRAY['service_red_1m', 'service_red_10m', 'service_red_1h'] LOOP
    EXECUTE format(
      'ALTER MATERIALIZED VIEW timespan.%I SET (tsdb.enable_columnstore, tsdb.segmentby = %L, tsdb.orderby = %L)',
      rollup, 'service_name, span_kind', 'bucket DESC, environment'
    );
  END LOOP;
  FOREACH rollup IN ARRAY ARRAY['log_counts_1m', 'log_counts_1h'] LOOP
    EXECUTE format(
      'ALTER MATERIALIZED VIEW timespan.%I SET (tsdb.enable_columnstore, tsdb.segmentby = %L, tsdb.orderby = %L)',
      rollup, 'service_name', 'bucket DESC, environment, severity_number, pattern_id'
    );
  END LOOP;
END
$$;

-- What of each rollup is stored, apart from its real-time part. The query API reads these up to their watermarks and
-- raw spans beyond: a union of both would neither be aggregated where it lies in the columnstore nor be planned quickly.
DO $$
DECLARE
  aggregate record;
BEGIN
  FOR aggregate IN
    SELECT view_name, materialization_hypertable_schema AS schema_name, materialization_hypertable_name AS table_name
    FROM timescaledb_information.continuous_aggregates
    WHERE view_schema = 'timespan'
  LOOP
    EXECUTE format(
      'CREATE VIEW timespan.%I AS SELECT * FROM %I.%I', aggregate.view_name || '_stored', aggregate.schema_name, aggregate.table_name
    );
  END LOOP;
END
$$;

CREATE FUNCTION timespan.rollup_watermarks() RETURNS TABLE (rollup text, stored_until timestamptz)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
  SELECT
    user_view_name::text,
    coalesce(_timescaledb_functions.to_timestamp(_timescaledb_functions.cagg_watermark(mat_hypertable_id)), '-infinity')
  FROM _timescaledb_catalog.continuous_agg
  -- Edges of services have a job and a state of their own.
  WHERE user_view_schema = 'timespan' AND user_view_name NOT LIKE 'service\_edge%';
END;

-- One job refreshes all levels, each from the one before it. Policies would be twelve, started in no order: a late
-- row would need a turn of each level above it, and a small machine a worker for each.
CREATE PROCEDURE timespan.refresh_rollups(job_id integer, config jsonb)
LANGUAGE plpgsql
AS $$
DECLARE
  level record;
  chunk regclass;
  hours_stored_until timestamptz := (SELECT max(stored_until) FROM timespan.rollup_watermarks() WHERE rollup LIKE '%\_1h');
BEGIN
  -- Estimates of groups by six columns are far off; sorting millions of rows instead of hashing them took six times as long.
  PERFORM set_config('enable_sort', 'off', false);
  PERFORM set_config('enable_incremental_sort', 'off', false);
  PERFORM set_config('work_mem', '64MB', false);
  FOR level IN
    SELECT
      rollup,
      (config ->> kept)::interval AS kept_for,
      (config ->> delay)::interval AS delayed_by,
      -- Oldest first: the watermark, below which nothing is computed live, must not overtake what is not stored yet.
      jsonb_build_object('buckets_per_batch', buckets, 'refresh_newest_first', false) AS options
    FROM (VALUES
      ('endpoint_latency_bins_1m', 'spans_kept', 'delay', 10),
      ('endpoint_red_1m', 'spans_kept', 'delay', 60),
      ('service_latency_bins_1m', 'spans_kept', 'delay', 60),
      ('service_red_1m', 'spans_kept', 'delay', 60),
      ('service_latency_bins_10m', 'spans_kept', 'delay', 6),
      ('service_red_10m', 'spans_kept', 'delay', 6),
      ('endpoint_latency_bins_1h', 'spans_kept', 'hour_delay', 1),
      ('endpoint_red_1h', 'spans_kept', 'hour_delay', 6),
      ('service_latency_bins_1h', 'spans_kept', 'hour_delay', 6),
      ('service_red_1h', 'spans_kept', 'hour_delay', 6),
      ('log_counts_1m', 'logs_kept', 'delay', 60),
      ('log_counts_1h', 'logs_kept', 'hour_delay', 6)
    ) AS step (rollup, kept, delay, buckets)
  LOOP
    CALL public.refresh_continuous_aggregate(
      format('timespan.%I', level.rollup)::regclass,
      now() - level.kept_for,
      now() - level.delayed_by,
      options => level.options
    );
    COMMIT;
  END LOOP;

  -- What long windows are read from goes to the columnstore hour by hour, not only when its chunk ends.
  IF hours_stored_until IS NOT DISTINCT FROM (SELECT max(stored_until) FROM timespan.rollup_watermarks() WHERE rollup LIKE '%\_1h') THEN
    RETURN;
  END IF;
  PERFORM set_config('timescaledb.compress_truncate_behaviour', 'truncate_or_delete', false);
  FOR chunk IN
    SELECT format('%I.%I', part.chunk_schema, part.chunk_name)::regclass
    FROM timescaledb_information.chunks AS part
    JOIN timescaledb_information.continuous_aggregates AS aggregate
      ON aggregate.materialization_hypertable_schema = part.hypertable_schema
     AND aggregate.materialization_hypertable_name = part.hypertable_name
    WHERE aggregate.view_schema = 'timespan'
      AND aggregate.view_name ~ '_(10m|1h)$'
      AND part.range_end > now() - INTERVAL '1 day'
  LOOP
    CALL public.convert_to_columnstore(chunk, if_not_columnstore => true);
    COMMIT;
    -- Without it the planner does not know that batches can be aggregated as they are.
    EXECUTE format('ANALYZE %s', chunk);
    COMMIT;
  END LOOP;
END
$$;

CREATE FUNCTION timespan.maintain_rollups(
  late_after interval,
  refresh_interval interval,
  refresh_delay interval
) RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  -- Past retention raw rows are gone, those of one environment perhaps sooner, and a refresh there would empty the
  -- rollup: it ends well before.
  margin CONSTANT interval := INTERVAL '1 hour';
  refresh_config CONSTANT jsonb := jsonb_build_object(
    'spans_kept', timespan.shortest_retention('retention_spans') - margin,
    'logs_kept', timespan.shortest_retention('retention_logs') - margin,
    'delay', refresh_delay,
    -- Until then rows come one by one, and each would have its whole hour read again.
    'hour_delay', GREATEST(refresh_delay, late_after)
  );
  -- A chunk an hour or less would make thousands of them in the weeks that minutes are kept.
  minute_chunk_interval CONSTANT interval := GREATEST(timespan.storage_setting('chunk_interval'), INTERVAL '2 hours');
  refresh_job integer;
  rollup record;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtext('timespan.maintain_storage'));
  SELECT job.job_id INTO refresh_job
  FROM timescaledb_information.jobs AS job
  WHERE job.proc_schema = 'timespan' AND job.proc_name = 'refresh_rollups';
  IF refresh_job IS NULL THEN
    refresh_job := public.add_job('timespan.refresh_rollups', refresh_interval, refresh_config, fixed_schedule => false);
  END IF;
  IF NOT EXISTS (
    SELECT FROM timescaledb_information.jobs AS job
    WHERE job.job_id = refresh_job
      AND job.config = refresh_config
      AND job.schedule_interval = refresh_interval
      AND job.retry_period = refresh_interval
  ) THEN
    PERFORM public.alter_job(
      refresh_job, schedule_interval => refresh_interval, retry_period => refresh_interval, config => refresh_config
    );
  END IF;

  FOR rollup IN
    SELECT
      aggregate.view_name AS name,
      format('timespan.%I', aggregate.view_name)::regclass AS relation,
      row_number() OVER (ORDER BY aggregate.view_name) AS position
    FROM timescaledb_information.continuous_aggregates AS aggregate
    WHERE aggregate.view_schema = 'timespan'
    ORDER BY position
  LOOP
    -- One a minute: all at once they would want more background workers than a small machine has.
    CALL public.add_columnstore_policy(
      rollup.relation,
      after => INTERVAL '2 hours',
      schedule_interval => INTERVAL '15 minutes',
      initial_start => now() + rollup.position * INTERVAL '1 minute',
      if_not_exists => true
    );
    IF rollup.name LIKE '%\_1m' THEN
      PERFORM public.set_chunk_time_interval(rollup.relation, minute_chunk_interval);
    END IF;
  END LOOP;
  -- A policy that meets the refresh on one chunk, as when all jobs start at once, loses to it: an hour's wait by default.
  PERFORM public.alter_job(policy.job_id, retry_period => INTERVAL '1 minute')
  FROM timescaledb_information.jobs AS policy
  JOIN timescaledb_information.continuous_aggregates AS aggregate
    ON aggregate.view_schema = policy.hypertable_schema AND aggregate.view_name = policy.hypertable_name
  WHERE aggregate.view_schema = 'timespan'
    AND policy.proc_name = 'policy_compression'
    AND policy.retry_period <> INTERVAL '1 minute';
END
$$;
COMMENT ON PROCEDURE timespan.refresh_rollups(integer, jsonb) IS
  'Job of TimescaleDB: brings every rollup up to date, in the order in which they are built from one another. Only what changed is computed again.';
COMMENT ON FUNCTION timespan.maintain_rollups(interval, interval, interval) IS
  'Brings the refresh of the rollups, their chunks and their columnstore policies to what was set. Cheap when nothing changed; called at start and every hour.';
REVOKE EXECUTE ON PROCEDURE timespan.refresh_rollups(integer, jsonb) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION timespan.maintain_rollups(interval, interval, interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION timespan.maintain_rollups(interval, interval, interval) TO timespan_writer;

RESET ROLE;
