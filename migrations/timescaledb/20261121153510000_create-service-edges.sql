-- Up Migration
SET LOCAL ROLE timespan_owner;

-- No continuous aggregate can join spans to their parents, so a job keeps the minutes; hours are an aggregate of them.
CREATE TABLE timespan.derived_service_edges_1m (
  bucket          timestamptz      NOT NULL,
  service_name    text             NOT NULL,
  environment     text             NOT NULL,
  target_name     text             NOT NULL,
  target_type     text             NOT NULL,
  duration_bin    smallint         NOT NULL,
  call_count      double precision NOT NULL,
  error_count     double precision NOT NULL,
  duration_us_sum double precision NOT NULL,
  duration_us_max bigint           NOT NULL
) WITH (
  tsdb.hypertable,
  tsdb.partition_column = 'bucket',
  tsdb.chunk_interval = '6 hours',
  tsdb.create_default_indexes = false,
  tsdb.segmentby = 'environment',
  tsdb.orderby = 'bucket, service_name, target_name'
);
-- "Put this minute in place of what is there", and the map of a window.
CREATE INDEX derived_service_edges_1m_bucket ON timespan.derived_service_edges_1m (bucket);
CALL public.remove_columnstore_policy('timespan.derived_service_edges_1m', if_exists => true);
CALL public.add_columnstore_policy('timespan.derived_service_edges_1m', after => INTERVAL '6 hours', schedule_interval => INTERVAL '1 hour');

CREATE MATERIALIZED VIEW timespan.service_edge_latency_bins_1h
WITH (tsdb.continuous, tsdb.materialized_only = false, tsdb.create_group_indexes = false, tsdb.chunk_interval = '7 days') AS
SELECT
  public.time_bucket(INTERVAL '1 hour', bucket) AS bucket,
  service_name,
  environment,
  target_name,
  target_type,
  duration_bin,
  sum(call_count) AS call_count,
  sum(error_count) AS error_count,
  sum(duration_us_sum) AS duration_us_sum,
  max(duration_us_max) AS duration_us_max
FROM timespan.derived_service_edges_1m
GROUP BY 1, 2, 3, 4, 5, 6
WITH NO DATA;
ALTER MATERIALIZED VIEW timespan.service_edge_latency_bins_1h
  SET (tsdb.enable_columnstore, tsdb.segmentby = 'environment', tsdb.orderby = 'bucket, service_name, target_name');

CREATE VIEW timespan.service_edge_latency_bins_1m AS
SELECT bucket, service_name, environment, target_name, target_type, duration_bin, call_count, error_count, duration_us_sum, duration_us_max
FROM timespan.derived_service_edges_1m;

CREATE TABLE timespan.service_edge_minutes (
  bucket            timestamptz      PRIMARY KEY,
  span_count        double precision NOT NULL,
  nearby_span_count double precision NOT NULL,
  derived_at        timestamptz      NOT NULL DEFAULT now()
);

CREATE FUNCTION timespan.stale_service_edge_minutes(minutes_max integer, again_after interval)
RETURNS TABLE (bucket timestamptz, span_count double precision, nearby_span_count double precision)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  -- Before it rows may be gone, and what they gave must stay.
  since timestamptz := date_trunc('hour', now() - timespan.shortest_retention('retention_spans')) + INTERVAL '2 hours';
  -- A rollup that was never refreshed is stored up to a time that nothing can be taken from.
  minutes_until timestamptz := (SELECT GREATEST(stored_until, since) FROM timespan.rollup_watermarks() WHERE rollup = 'service_red_1m');
  hours_until timestamptz := (SELECT GREATEST(stored_until, since) FROM timespan.rollup_watermarks() WHERE rollup = 'service_red_1h');
  stale_hours timestamptz[];
BEGIN
  -- The spans of an hour have changed where their count has: a rollup knows it, however late they came.
  SELECT array_agg(stored.bucket) INTO stale_hours
  FROM (
    SELECT red.bucket, sum(red.span_count) AS span_count
    FROM timespan.service_red_1h AS red
    WHERE red.bucket >= since AND red.bucket < hours_until
    GROUP BY 1
  ) AS stored
  LEFT JOIN (
    SELECT public.time_bucket(INTERVAL '1 hour', known.bucket) AS bucket, sum(known.span_count) AS span_count
    FROM timespan.service_edge_minutes AS known
    WHERE known.bucket >= since
    GROUP BY 1
  ) AS derived USING (bucket)
  WHERE derived.span_count IS DISTINCT FROM stored.span_count;

  RETURN QUERY
  WITH hours AS (
    SELECT unnest(stale_hours) AS start_time
    UNION
    SELECT generate_series(
      hours_until, minutes_until, INTERVAL '1 hour'
    )
  ), stored AS (
    SELECT red.bucket, sum(red.span_count) AS span_count
    FROM hours
    JOIN timespan.service_red_1m AS red
      ON red.bucket >= hours.start_time - INTERVAL '1 minute'
      AND red.bucket < LEAST(hours.start_time + INTERVAL '61 minutes', minutes_until)
    GROUP BY hours.start_time, red.bucket
  ), minutes AS (
    SELECT DISTINCT ON (stored.bucket) stored.bucket, stored.span_count FROM stored
  ), nearby AS (
    SELECT
      minutes.bucket,
      minutes.span_count,
      sum(minutes.span_count) OVER (
        ORDER BY minutes.bucket RANGE BETWEEN INTERVAL '1 minute' PRECEDING AND INTERVAL '1 minute' FOLLOWING
      ) AS nearby_span_count
    FROM minutes
  )
  SELECT nearby.bucket, nearby.span_count, nearby.nearby_span_count
  FROM nearby
  JOIN hours ON nearby.bucket >= hours.start_time AND nearby.bucket < hours.start_time + INTERVAL '1 hour'
  LEFT JOIN timespan.service_edge_minutes AS known ON known.bucket = nearby.bucket
  -- The next minute is stored too; or there is none, because nothing came any more.
  WHERE nearby.bucket < GREATEST(minutes_until - INTERVAL '1 minute', now() - INTERVAL '10 minutes')
    AND known.nearby_span_count IS DISTINCT FROM nearby.nearby_span_count
    AND (known.derived_at IS NULL OR known.derived_at <= now() - again_after)
  ORDER BY nearby.bucket
  LIMIT minutes_max;
END
$$;

CREATE PROCEDURE timespan.refresh_service_edges(job_id integer, config jsonb)
LANGUAGE plpgsql
AS $$
DECLARE
  stale record;
  -- Minutes are kept longer than spans: whatever is derived anew lies after it.
  hours_since timestamptz := now() - timespan.storage_setting('retention_spans') - INTERVAL '1 day';
  hours_until timestamptz;
BEGIN
  PERFORM set_config('work_mem', '256MB', false);
  PERFORM set_config('max_parallel_workers_per_gather', '0', false);
  PERFORM set_config('timescaledb.max_tuples_decompressed_per_dml_transaction', '0', false);
  FOR stale IN SELECT * FROM timespan.stale_service_edge_minutes(
    (config ->> 'minutes_max')::integer, (config ->> 'again_after')::interval
  ) LOOP
    -- First, so that whoever derives the same minute at this moment waits here until ours is whole.
    INSERT INTO timespan.service_edge_minutes (bucket, span_count, nearby_span_count)
    VALUES (stale.bucket, stale.span_count, stale.nearby_span_count)
    ON CONFLICT (bucket) DO UPDATE
    SET span_count = EXCLUDED.span_count, nearby_span_count = EXCLUDED.nearby_span_count, derived_at = now();
    DELETE FROM timespan.derived_service_edges_1m WHERE bucket = stale.bucket;
    INSERT INTO timespan.derived_service_edges_1m
    SELECT * FROM timespan.service_calls(stale.bucket, stale.bucket + INTERVAL '1 minute');
    COMMIT;
  END LOOP;
  DELETE FROM timespan.service_edge_minutes WHERE bucket < now() - timespan.storage_setting('retention_spans');
  COMMIT;
  hours_until := date_trunc('hour', timespan.service_edges_stored_until());
  IF hours_until >= hours_since + INTERVAL '2 hours' THEN
    CALL public.refresh_continuous_aggregate('timespan.service_edge_latency_bins_1h', hours_since, hours_until);
  END IF;
END
$$;

CREATE FUNCTION timespan.service_edges_stored_until() RETURNS timestamptz
LANGUAGE sql STABLE
RETURN (SELECT max(bucket) + INTERVAL '1 minute' FROM timespan.service_edge_minutes);

GRANT SELECT ON timespan.service_edge_minutes TO timespan_reader;

-- Whole hours of a window from the rollup by the hour, what is around them from minutes.
CREATE FUNCTION timespan.service_edge_bins(from_time timestamptz, to_time timestamptz)
RETURNS SETOF timespan.service_edge_latency_bins_1m
LANGUAGE plpgsql STABLE
AS $$
DECLARE
  first_hour timestamptz := date_bin(INTERVAL '1 hour', from_time + INTERVAL '1 hour' - INTERVAL '1 microsecond', TIMESTAMPTZ '2000-01-01 00:00:00+00');
  end_hour timestamptz := date_bin(INTERVAL '1 hour', to_time, TIMESTAMPTZ '2000-01-01 00:00:00+00');
BEGIN
  IF first_hour >= end_hour THEN
    RETURN QUERY SELECT * FROM timespan.service_edge_latency_bins_1m WHERE bucket >= from_time AND bucket < to_time;
    RETURN;
  END IF;
  RETURN QUERY SELECT * FROM timespan.service_edge_latency_bins_1m WHERE bucket >= from_time AND bucket < first_hour;
  RETURN QUERY SELECT * FROM timespan.service_edge_latency_bins_1h WHERE bucket >= first_hour AND bucket < end_hour;
  RETURN QUERY SELECT * FROM timespan.service_edge_latency_bins_1m WHERE bucket >= end_hour AND bucket < to_time;
END
$$;

CREATE FUNCTION timespan.maintain_service_edges(refresh_interval interval) RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  -- A run that catches up after an outage ends now and then, and the next goes on. Stragglers of a minute come in one
  -- by one: it is derived again for several of them, not for each.
  config CONSTANT jsonb := jsonb_build_object('minutes_max', 240, 'again_after', INTERVAL '5 minutes');
  job record;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtext('timespan.maintain_storage'));
  SELECT known.job_id, known.schedule_interval, known.config INTO job
  FROM timescaledb_information.jobs AS known
  WHERE known.proc_schema = 'timespan' AND known.proc_name = 'refresh_service_edges';
  IF NOT FOUND THEN
    PERFORM public.add_job('timespan.refresh_service_edges', refresh_interval, config, fixed_schedule => false);
  ELSIF job.schedule_interval <> refresh_interval OR job.config <> config THEN
    PERFORM public.alter_job(job.job_id, schedule_interval => refresh_interval, retry_period => refresh_interval, config => config);
  END IF;
END
$$;

COMMENT ON TABLE timespan.service_edge_minutes IS 'Which minutes of service edges are derived, and from how many spans: where rollups count others, the minute is derived again.';
COMMENT ON COLUMN timespan.service_edge_minutes.bucket IS 'Start of the minute.';
COMMENT ON COLUMN timespan.service_edge_minutes.span_count IS 'Spans of the minute when it was derived.';
COMMENT ON COLUMN timespan.service_edge_minutes.nearby_span_count IS 'Those of the minute and of the two beside it, which all decide about its edges.';
COMMENT ON COLUMN timespan.service_edge_minutes.derived_at IS 'When it was derived.';
COMMENT ON TABLE timespan.derived_service_edges_1m IS 'What the job derived: read it as timespan.service_edge_latency_bins_1m.';
COMMENT ON FUNCTION timespan.stale_service_edge_minutes(integer, interval) IS
  'Minutes whose edges do not follow from the spans that rollups count now, oldest first. Nothing has to be remembered for it: after an outage, a restore or late spans it is the same question.';
COMMENT ON PROCEDURE timespan.refresh_service_edges(integer, jsonb) IS
  'Job of TimescaleDB: derives stale minutes of service edges, each in a transaction of its own, then the hours.';

RESET ROLE;
