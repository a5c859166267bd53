-- Up Migration
SET LOCAL ROLE timespan_owner;

-- What continuous aggregates are on TimescaleDB are plain views here: the same names, columns and rows, computed from
-- raw rows whenever they are asked for. A condition on bucket prunes no partition; the query API asks raw rows instead.

CREATE VIEW timespan.endpoint_latency_bins_1m AS
SELECT
  date_bin(INTERVAL '1 minute', start_time, TIMESTAMPTZ '2000-01-01 00:00:00+00') AS bucket,
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
GROUP BY 1, 2, 3, 4, 5, 6;

CREATE VIEW timespan.endpoint_red_1m AS
SELECT
  date_bin(INTERVAL '1 minute', start_time, TIMESTAMPTZ '2000-01-01 00:00:00+00') AS bucket,
  service_name,
  environment,
  endpoint,
  span_kind,
  sum(sample_weight) AS span_count,
  coalesce(sum(sample_weight) FILTER (WHERE status_code = 2), 0) AS error_count,
  sum(duration_us * sample_weight) AS duration_us_sum,
  max(duration_us) AS duration_us_max,
  coalesce(sum(sample_weight) FILTER (WHERE duration_us <= 500000 AND status_code <> 2), 0) AS apdex_satisfied_count,
  coalesce(sum(sample_weight) FILTER (WHERE duration_us > 500000 AND duration_us <= 2000000 AND status_code <> 2), 0) AS apdex_tolerating_count
FROM timespan.spans
GROUP BY 1, 2, 3, 4, 5;

CREATE VIEW timespan.endpoint_latency_bins_1h AS
SELECT
  date_bin(INTERVAL '1 hour', start_time, TIMESTAMPTZ '2000-01-01 00:00:00+00') AS bucket,
  service_name,
  environment,
  endpoint,
  span_kind,
  duration_bin,
  sum(sample_weight) AS span_count,
  coalesce(sum(sample_weight) FILTER (WHERE status_code = 2), 0) AS error_count,
  max(duration_us) AS duration_us_max
FROM timespan.spans
GROUP BY 1, 2, 3, 4, 5, 6;

CREATE VIEW timespan.endpoint_red_1h AS
SELECT
  date_bin(INTERVAL '1 hour', start_time, TIMESTAMPTZ '2000-01-01 00:00:00+00') AS bucket,
  service_name,
  environment,
  endpoint,
  span_kind,
  sum(sample_weight) AS span_count,
  coalesce(sum(sample_weight) FILTER (WHERE status_code = 2), 0) AS error_count,
  sum(duration_us * sample_weight) AS duration_us_sum,
  max(duration_us) AS duration_us_max,
  coalesce(sum(sample_weight) FILTER (WHERE duration_us <= 500000 AND status_code <> 2), 0) AS apdex_satisfied_count,
  coalesce(sum(sample_weight) FILTER (WHERE duration_us > 500000 AND duration_us <= 2000000 AND status_code <> 2), 0) AS apdex_tolerating_count
FROM timespan.spans
GROUP BY 1, 2, 3, 4, 5;

CREATE VIEW timespan.service_latency_bins_1m AS
SELECT
  date_bin(INTERVAL '1 minute', start_time, TIMESTAMPTZ '2000-01-01 00:00:00+00') AS bucket,
  service_name,
  environment,
  span_kind,
  duration_bin,
  sum(sample_weight) AS span_count,
  coalesce(sum(sample_weight) FILTER (WHERE status_code = 2), 0) AS error_count,
  max(duration_us) AS duration_us_max
FROM timespan.spans
GROUP BY 1, 2, 3, 4, 5;

CREATE VIEW timespan.service_red_1m AS
SELECT
  date_bin(INTERVAL '1 minute', start_time, TIMESTAMPTZ '2000-01-01 00:00:00+00') AS bucket,
  service_name,
  environment,
  span_kind,
  sum(sample_weight) AS span_count,
  coalesce(sum(sample_weight) FILTER (WHERE status_code = 2), 0) AS error_count,
  sum(duration_us * sample_weight) AS duration_us_sum,
  max(duration_us) AS duration_us_max,
  coalesce(sum(sample_weight) FILTER (WHERE duration_us <= 500000 AND status_code <> 2), 0) AS apdex_satisfied_count,
  coalesce(sum(sample_weight) FILTER (WHERE duration_us > 500000 AND duration_us <= 2000000 AND status_code <> 2), 0) AS apdex_tolerating_count
FROM timespan.spans
GROUP BY 1, 2, 3, 4;

CREATE VIEW timespan.service_latency_bins_10m AS
SELECT
  date_bin(INTERVAL '10 minutes', start_time, TIMESTAMPTZ '2000-01-01 00:00:00+00') AS bucket,
  service_name,
  environment,
  span_kind,
  duration_bin,
  sum(sample_weight) AS span_count,
  coalesce(sum(sample_weight) FILTER (WHERE status_code = 2), 0) AS error_count,
  max(duration_us) AS duration_us_max
FROM timespan.spans
GROUP BY 1, 2, 3, 4, 5;

CREATE VIEW timespan.service_red_10m AS
SELECT
  date_bin(INTERVAL '10 minutes', start_time, TIMESTAMPTZ '2000-01-01 00:00:00+00') AS bucket,
  service_name,
  environment,
  span_kind,
  sum(sample_weight) AS span_count,
  coalesce(sum(sample_weight) FILTER (WHERE status_code = 2), 0) AS error_count,
  sum(duration_us * sample_weight) AS duration_us_sum,
  max(duration_us) AS duration_us_max,
  coalesce(sum(sample_weight) FILTER (WHERE duration_us <= 500000 AND status_code <> 2), 0) AS apdex_satisfied_count,
  coalesce(sum(sample_weight) FILTER (WHERE duration_us > 500000 AND duration_us <= 2000000 AND status_code <> 2), 0) AS apdex_tolerating_count
FROM timespan.spans
GROUP BY 1, 2, 3, 4;

CREATE VIEW timespan.service_latency_bins_1h AS
SELECT
  date_bin(INTERVAL '1 hour', start_time, TIMESTAMPTZ '2000-01-01 00:00:00+00') AS bucket,
  service_name,
  environment,
  span_kind,
  duration_bin,
  sum(sample_weight) AS span_count,
  coalesce(sum(sample_weight) FILTER (WHERE status_code = 2), 0) AS error_count,
  max(duration_us) AS duration_us_max
FROM timespan.spans
GROUP BY 1, 2, 3, 4, 5;

CREATE VIEW timespan.service_red_1h AS
SELECT
  date_bin(INTERVAL '1 hour', start_time, TIMESTAMPTZ '2000-01-01 00:00:00+00') AS bucket,
  service_name,
  environment,
  span_kind,
  sum(sample_weight) AS span_count,
  coalesce(sum(sample_weight) FILTER (WHERE status_code = 2), 0) AS error_count,
  sum(duration_us * sample_weight) AS duration_us_sum,
  max(duration_us) AS duration_us_max,
  coalesce(sum(sample_weight) FILTER (WHERE duration_us <= 500000 AND status_code <> 2), 0) AS apdex_satisfied_count,
  coalesce(sum(sample_weight) FILTER (WHERE duration_us > 500000 AND duration_us <= 2000000 AND status_code <> 2), 0) AS apdex_tolerating_count
FROM timespan.spans
GROUP BY 1, 2, 3, 4;

CREATE VIEW timespan.log_counts_1m AS
SELECT
  date_bin(INTERVAL '1 minute', time, TIMESTAMPTZ '2000-01-01 00:00:00+00') AS bucket,
  service_name,
  environment,
  severity_number,
  pattern_id,
  count(*)::double precision AS log_count
FROM timespan.log_records
GROUP BY 1, 2, 3, 4, 5;

CREATE VIEW timespan.log_counts_1h AS
SELECT
  date_bin(INTERVAL '1 hour', time, TIMESTAMPTZ '2000-01-01 00:00:00+00') AS bucket,
  service_name,
  environment,
  severity_number,
  pattern_id,
  count(*)::double precision AS log_count
FROM timespan.log_records
GROUP BY 1, 2, 3, 4, 5;

-- Nothing of them is stored, which is what their watermarks say too.
DO $$
DECLARE
  rollup name;
BEGIN
  FOR rollup IN SELECT relname FROM pg_class WHERE relnamespace = 'timespan'::regnamespace AND relkind = 'v' AND relname ~ '_(1m|10m|1h)$' LOOP
    EXECUTE format('CREATE VIEW timespan.%I AS SELECT * FROM timespan.%I WHERE false', rollup || '_stored', rollup);
  END LOOP;
END
$$;

CREATE FUNCTION timespan.rollup_watermarks() RETURNS TABLE (rollup text, stored_until timestamptz)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
  SELECT left(relname, -length('_stored')), TIMESTAMPTZ '-infinity'
  FROM pg_class
  WHERE relnamespace = 'timespan'::regnamespace AND relname LIKE '%\_stored';
END;

CREATE FUNCTION timespan.maintain_rollups(
  late_after interval,
  refresh_interval interval,
  refresh_delay interval
) RETURNS void
LANGUAGE sql
RETURN NULL;
COMMENT ON FUNCTION timespan.maintain_rollups(interval, interval, interval) IS
  'For TimescaleDB; a view needs no maintenance.';
REVOKE EXECUTE ON FUNCTION timespan.maintain_rollups(interval, interval, interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION timespan.maintain_rollups(interval, interval, interval) TO timespan_writer;

RESET ROLE;
