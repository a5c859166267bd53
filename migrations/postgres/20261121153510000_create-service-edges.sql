-- Up Migration
SET LOCAL ROLE timespan_owner;

CREATE VIEW timespan.service_edge_latency_bins_1m AS
SELECT bucket, service_name, environment, target_name, target_type, duration_bin, call_count, error_count, duration_us_sum, duration_us_max
FROM timespan.service_calls('-infinity', 'infinity');

CREATE VIEW timespan.service_edge_latency_bins_1h AS
SELECT
  date_bin(INTERVAL '1 hour', bucket, TIMESTAMPTZ '2000-01-01 00:00:00+00') AS bucket,
  service_name,
  environment,
  target_name,
  target_type,
  duration_bin,
  sum(call_count) AS call_count,
  sum(error_count) AS error_count,
  sum(duration_us_sum) AS duration_us_sum,
  max(duration_us_max) AS duration_us_max
FROM timespan.service_calls('-infinity', 'infinity')
GROUP BY 1, 2, 3, 4, 5, 6;

CREATE FUNCTION timespan.service_edge_bins(from_time timestamptz, to_time timestamptz)
RETURNS SETOF timespan.service_edge_latency_bins_1m
LANGUAGE sql STABLE
AS $$
  SELECT bucket, service_name, environment, target_name, target_type, duration_bin, call_count, error_count, duration_us_sum, duration_us_max
  FROM timespan.service_calls(from_time, to_time)
$$;

CREATE FUNCTION timespan.service_edges_stored_until() RETURNS timestamptz
LANGUAGE sql STABLE
RETURN date_trunc('minute', now());

CREATE FUNCTION timespan.maintain_service_edges(refresh_interval interval) RETURNS void
LANGUAGE sql
RETURN NULL;

RESET ROLE;
