-- Up Migration
SET LOCAL ROLE timespan_owner;

-- The rollups, for people: requests are SERVER spans, durations are in milliseconds. Each view is a barrier by itself:
-- conditions on bucket, service_name and environment reach the rollup, others are checked after hidden rows are gone.

CREATE VIEW apm.service_red_1m WITH (security_barrier) AS
SELECT
  bucket,
  service_name,
  environment,
  span_count AS request_count,
  error_count,
  error_count / span_count AS error_rate,
  duration_us_sum / span_count / 1000 AS duration_ms_avg,
  duration_us_max / 1000.0::double precision AS duration_ms_max,
  (apdex_satisfied_count + apdex_tolerating_count / 2) / span_count AS apdex
FROM timespan.service_red_1m
WHERE span_kind = 2
  AND (timespan.visible_environments() IS NULL OR environment = ANY (timespan.visible_environments()))
  AND (timespan.visible_services() IS NULL OR service_name = ANY (timespan.visible_services()));
COMMENT ON VIEW apm.service_red_1m IS 'Requests, errors and durations of a service: one row a minute.';
COMMENT ON COLUMN apm.service_red_1m.bucket IS 'Start of the minute, which ends where the next begins. Give it a range.';
COMMENT ON COLUMN apm.service_red_1m.service_name IS 'Name of the service.';
COMMENT ON COLUMN apm.service_red_1m.environment IS 'Environment, such as production.';
COMMENT ON COLUMN apm.service_red_1m.request_count IS 'Requests: SERVER spans, each as often as its sample_weight says.';
COMMENT ON COLUMN apm.service_red_1m.error_count IS 'How many of them had status ERROR.';
COMMENT ON COLUMN apm.service_red_1m.error_rate IS 'error_count / request_count, 0 to 1.';
COMMENT ON COLUMN apm.service_red_1m.duration_ms_avg IS 'Their average duration in milliseconds.';
COMMENT ON COLUMN apm.service_red_1m.duration_ms_max IS 'The longest duration in milliseconds.';
COMMENT ON COLUMN apm.service_red_1m.apdex IS 'Apdex with T = 500 ms, 0 to 1: requests up to T count whole, up to 4 T half, errors not at all.';

CREATE VIEW apm.service_red_1h WITH (security_barrier) AS
SELECT
  bucket,
  service_name,
  environment,
  span_count AS request_count,
  error_count,
  error_count / span_count AS error_rate,
  duration_us_sum / span_count / 1000 AS duration_ms_avg,
  duration_us_max / 1000.0::double precision AS duration_ms_max,
  (apdex_satisfied_count + apdex_tolerating_count / 2) / span_count AS apdex
FROM timespan.service_red_1h
WHERE span_kind = 2
  AND (timespan.visible_environments() IS NULL OR environment = ANY (timespan.visible_environments()))
  AND (timespan.visible_services() IS NULL OR service_name = ANY (timespan.visible_services()));
COMMENT ON VIEW apm.service_red_1h IS 'Requests, errors and durations of a service: one row an hour.';
COMMENT ON COLUMN apm.service_red_1h.bucket IS 'Start of the hour, which ends where the next begins. Give it a range.';
COMMENT ON COLUMN apm.service_red_1h.service_name IS 'Name of the service.';
COMMENT ON COLUMN apm.service_red_1h.environment IS 'Environment, such as production.';
COMMENT ON COLUMN apm.service_red_1h.request_count IS 'Requests: SERVER spans, each as often as its sample_weight says.';
COMMENT ON COLUMN apm.service_red_1h.error_count IS 'How many of them had status ERROR.';
COMMENT ON COLUMN apm.service_red_1h.error_rate IS 'error_count / request_count, 0 to 1.';
COMMENT ON COLUMN apm.service_red_1h.duration_ms_avg IS 'Their average duration in milliseconds.';
COMMENT ON COLUMN apm.service_red_1h.duration_ms_max IS 'The longest duration in milliseconds.';
COMMENT ON COLUMN apm.service_red_1h.apdex IS 'Apdex with T = 500 ms, 0 to 1: requests up to T count whole, up to 4 T half, errors not at all.';

CREATE VIEW apm.endpoint_red_1m WITH (security_barrier) AS
SELECT
  bucket,
  service_name,
  environment,
  endpoint,
  span_count AS request_count,
  error_count,
  error_count / span_count AS error_rate,
  duration_us_sum / span_count / 1000 AS duration_ms_avg,
  duration_us_max / 1000.0::double precision AS duration_ms_max,
  (apdex_satisfied_count + apdex_tolerating_count / 2) / span_count AS apdex
FROM timespan.endpoint_red_1m
WHERE span_kind = 2
  AND (timespan.visible_environments() IS NULL OR environment = ANY (timespan.visible_environments()))
  AND (timespan.visible_services() IS NULL OR service_name = ANY (timespan.visible_services()));
COMMENT ON VIEW apm.endpoint_red_1m IS 'Requests, errors and durations of an endpoint of a service: one row a minute.';
COMMENT ON COLUMN apm.endpoint_red_1m.bucket IS 'Start of the minute, which ends where the next begins. Give it a range.';
COMMENT ON COLUMN apm.endpoint_red_1m.service_name IS 'Name of the service.';
COMMENT ON COLUMN apm.endpoint_red_1m.environment IS 'Environment, such as production.';
COMMENT ON COLUMN apm.endpoint_red_1m.endpoint IS 'The operation with ids taken out of its path; other where a service had too many.';
COMMENT ON COLUMN apm.endpoint_red_1m.request_count IS 'Requests: SERVER spans, each as often as its sample_weight says.';
COMMENT ON COLUMN apm.endpoint_red_1m.error_count IS 'How many of them had status ERROR.';
COMMENT ON COLUMN apm.endpoint_red_1m.error_rate IS 'error_count / request_count, 0 to 1.';
COMMENT ON COLUMN apm.endpoint_red_1m.duration_ms_avg IS 'Their average duration in milliseconds.';
COMMENT ON COLUMN apm.endpoint_red_1m.duration_ms_max IS 'The longest duration in milliseconds.';
COMMENT ON COLUMN apm.endpoint_red_1m.apdex IS 'Apdex with T = 500 ms, 0 to 1: requests up to T count whole, up to 4 T half, errors not at all.';

CREATE VIEW apm.endpoint_red_1h WITH (security_barrier) AS
SELECT
  bucket,
  service_name,
  environment,
  endpoint,
  span_count AS request_count,
  error_count,
  error_count / span_count AS error_rate,
  duration_us_sum / span_count / 1000 AS duration_ms_avg,
  duration_us_max / 1000.0::double precision AS duration_ms_max,
  (apdex_satisfied_count + apdex_tolerating_count / 2) / span_count AS apdex
FROM timespan.endpoint_red_1h
WHERE span_kind = 2
  AND (timespan.visible_environments() IS NULL OR environment = ANY (timespan.visible_environments()))
  AND (timespan.visible_services() IS NULL OR service_name = ANY (timespan.visible_services()));
COMMENT ON VIEW apm.endpoint_red_1h IS 'Requests, errors and durations of an endpoint of a service: one row an hour.';
COMMENT ON COLUMN apm.endpoint_red_1h.bucket IS 'Start of the hour, which ends where the next begins. Give it a range.';
COMMENT ON COLUMN apm.endpoint_red_1h.service_name IS 'Name of the service.';
COMMENT ON COLUMN apm.endpoint_red_1h.environment IS 'Environment, such as production.';
COMMENT ON COLUMN apm.endpoint_red_1h.endpoint IS 'The operation with ids taken out of its path; other where a service had too many.';
COMMENT ON COLUMN apm.endpoint_red_1h.request_count IS 'Requests: SERVER spans, each as often as its sample_weight says.';
COMMENT ON COLUMN apm.endpoint_red_1h.error_count IS 'How many of them had status ERROR.';
COMMENT ON COLUMN apm.endpoint_red_1h.error_rate IS 'error_count / request_count, 0 to 1.';
COMMENT ON COLUMN apm.endpoint_red_1h.duration_ms_avg IS 'Their average duration in milliseconds.';
COMMENT ON COLUMN apm.endpoint_red_1h.duration_ms_max IS 'The longest duration in milliseconds.';
COMMENT ON COLUMN apm.endpoint_red_1h.apdex IS 'Apdex with T = 500 ms, 0 to 1: requests up to T count whole, up to 4 T half, errors not at all.';

CREATE VIEW apm.service_latency_bins_1m WITH (security_barrier) AS
SELECT
  bucket,
  service_name,
  environment,
  duration_bin,
  span_count AS request_count,
  error_count,
  duration_us_max / 1000.0::double precision AS duration_ms_max
FROM timespan.service_latency_bins_1m
WHERE span_kind = 2
  AND (timespan.visible_environments() IS NULL OR environment = ANY (timespan.visible_environments()))
  AND (timespan.visible_services() IS NULL OR service_name = ANY (timespan.visible_services()));
COMMENT ON VIEW apm.service_latency_bins_1m IS 'Durations of the requests of a service: one row a minute and bin. Percentiles of any window, and of services together: apm.percentile(0.95, array_agg(duration_bin), array_agg(request_count)) / 1000 is milliseconds.';
COMMENT ON COLUMN apm.service_latency_bins_1m.bucket IS 'Start of the minute, which ends where the next begins. Give it a range.';
COMMENT ON COLUMN apm.service_latency_bins_1m.service_name IS 'Name of the service.';
COMMENT ON COLUMN apm.service_latency_bins_1m.environment IS 'Environment, such as production.';
COMMENT ON COLUMN apm.service_latency_bins_1m.duration_bin IS 'Bin of the duration, for apm.percentile.';
COMMENT ON COLUMN apm.service_latency_bins_1m.request_count IS 'Requests: SERVER spans, each as often as its sample_weight says.';
COMMENT ON COLUMN apm.service_latency_bins_1m.error_count IS 'How many of them had status ERROR.';
COMMENT ON COLUMN apm.service_latency_bins_1m.duration_ms_max IS 'The longest duration in milliseconds.';

CREATE VIEW apm.service_latency_bins_1h WITH (security_barrier) AS
SELECT
  bucket,
  service_name,
  environment,
  duration_bin,
  span_count AS request_count,
  error_count,
  duration_us_max / 1000.0::double precision AS duration_ms_max
FROM timespan.service_latency_bins_1h
WHERE span_kind = 2
  AND (timespan.visible_environments() IS NULL OR environment = ANY (timespan.visible_environments()))
  AND (timespan.visible_services() IS NULL OR service_name = ANY (timespan.visible_services()));
COMMENT ON VIEW apm.service_latency_bins_1h IS 'Durations of the requests of a service: one row an hour and bin. Percentiles of any window, and of services together: apm.percentile(0.95, array_agg(duration_bin), array_agg(request_count)) / 1000 is milliseconds.';
COMMENT ON COLUMN apm.service_latency_bins_1h.bucket IS 'Start of the hour, which ends where the next begins. Give it a range.';
COMMENT ON COLUMN apm.service_latency_bins_1h.service_name IS 'Name of the service.';
COMMENT ON COLUMN apm.service_latency_bins_1h.environment IS 'Environment, such as production.';
COMMENT ON COLUMN apm.service_latency_bins_1h.duration_bin IS 'Bin of the duration, for apm.percentile.';
COMMENT ON COLUMN apm.service_latency_bins_1h.request_count IS 'Requests: SERVER spans, each as often as its sample_weight says.';
COMMENT ON COLUMN apm.service_latency_bins_1h.error_count IS 'How many of them had status ERROR.';
COMMENT ON COLUMN apm.service_latency_bins_1h.duration_ms_max IS 'The longest duration in milliseconds.';

CREATE VIEW apm.endpoint_latency_bins_1m WITH (security_barrier) AS
SELECT
  bucket,
  service_name,
  environment,
  endpoint,
  duration_bin,
  span_count AS request_count,
  error_count,
  duration_us_max / 1000.0::double precision AS duration_ms_max
FROM timespan.endpoint_latency_bins_1m
WHERE span_kind = 2
  AND (timespan.visible_environments() IS NULL OR environment = ANY (timespan.visible_environments()))
  AND (timespan.visible_services() IS NULL OR service_name = ANY (timespan.visible_services()));
COMMENT ON VIEW apm.endpoint_latency_bins_1m IS 'Durations of the requests of an endpoint of a service: one row a minute and bin. Percentiles of any window, and of services together: apm.percentile(0.95, array_agg(duration_bin), array_agg(request_count)) / 1000 is milliseconds.';
COMMENT ON COLUMN apm.endpoint_latency_bins_1m.bucket IS 'Start of the minute, which ends where the next begins. Give it a range.';
COMMENT ON COLUMN apm.endpoint_latency_bins_1m.service_name IS 'Name of the service.';
COMMENT ON COLUMN apm.endpoint_latency_bins_1m.environment IS 'Environment, such as production.';
COMMENT ON COLUMN apm.endpoint_latency_bins_1m.endpoint IS 'The operation with ids taken out of its path; other where a service had too many.';
COMMENT ON COLUMN apm.endpoint_latency_bins_1m.duration_bin IS 'Bin of the duration, for apm.percentile.';
COMMENT ON COLUMN apm.endpoint_latency_bins_1m.request_count IS 'Requests: SERVER spans, each as often as its sample_weight says.';
COMMENT ON COLUMN apm.endpoint_latency_bins_1m.error_count IS 'How many of them had status ERROR.';
COMMENT ON COLUMN apm.endpoint_latency_bins_1m.duration_ms_max IS 'The longest duration in milliseconds.';

CREATE VIEW apm.endpoint_latency_bins_1h WITH (security_barrier) AS
SELECT
  bucket,
  service_name,
  environment,
  endpoint,
  duration_bin,
  span_count AS request_count,
  error_count,
  duration_us_max / 1000.0::double precision AS duration_ms_max
FROM timespan.endpoint_latency_bins_1h
WHERE span_kind = 2
  AND (timespan.visible_environments() IS NULL OR environment = ANY (timespan.visible_environments()))
  AND (timespan.visible_services() IS NULL OR service_name = ANY (timespan.visible_services()));
COMMENT ON VIEW apm.endpoint_latency_bins_1h IS 'Durations of the requests of an endpoint of a service: one row an hour and bin. Percentiles of any window, and of services together: apm.percentile(0.95, array_agg(duration_bin), array_agg(request_count)) / 1000 is milliseconds.';
COMMENT ON COLUMN apm.endpoint_latency_bins_1h.bucket IS 'Start of the hour, which ends where the next begins. Give it a range.';
COMMENT ON COLUMN apm.endpoint_latency_bins_1h.service_name IS 'Name of the service.';
COMMENT ON COLUMN apm.endpoint_latency_bins_1h.environment IS 'Environment, such as production.';
COMMENT ON COLUMN apm.endpoint_latency_bins_1h.endpoint IS 'The operation with ids taken out of its path; other where a service had too many.';
COMMENT ON COLUMN apm.endpoint_latency_bins_1h.duration_bin IS 'Bin of the duration, for apm.percentile.';
COMMENT ON COLUMN apm.endpoint_latency_bins_1h.request_count IS 'Requests: SERVER spans, each as often as its sample_weight says.';
COMMENT ON COLUMN apm.endpoint_latency_bins_1h.error_count IS 'How many of them had status ERROR.';
COMMENT ON COLUMN apm.endpoint_latency_bins_1h.duration_ms_max IS 'The longest duration in milliseconds.';

CREATE VIEW apm.service_latency_1m AS
SELECT
  bucket,
  service_name,
  environment,
  sum(request_count) AS request_count,
  least(apm.percentile(0.5, array_agg(duration_bin), array_agg(request_count)) / 1000, max(duration_ms_max)) AS p50_ms,
  least(apm.percentile(0.90, array_agg(duration_bin), array_agg(request_count)) / 1000, max(duration_ms_max)) AS p90_ms,
  least(apm.percentile(0.95, array_agg(duration_bin), array_agg(request_count)) / 1000, max(duration_ms_max)) AS p95_ms,
  least(apm.percentile(0.99, array_agg(duration_bin), array_agg(request_count)) / 1000, max(duration_ms_max)) AS p99_ms,
  max(duration_ms_max) AS duration_ms_max
FROM apm.service_latency_bins_1m
GROUP BY bucket, service_name, environment;
COMMENT ON VIEW apm.service_latency_1m IS 'Percentiles of the requests of a service: one row a minute. They cannot be put together to those of a longer time: take apm.service_latency_bins_1m for that.';
COMMENT ON COLUMN apm.service_latency_1m.bucket IS 'Start of the minute, which ends where the next begins. Give it a range.';
COMMENT ON COLUMN apm.service_latency_1m.service_name IS 'Name of the service.';
COMMENT ON COLUMN apm.service_latency_1m.environment IS 'Environment, such as production.';
COMMENT ON COLUMN apm.service_latency_1m.request_count IS 'Requests: SERVER spans, each as often as its sample_weight says.';
COMMENT ON COLUMN apm.service_latency_1m.p50_ms IS 'Half of the requests took at most this, in milliseconds, within 1.083 %.';
COMMENT ON COLUMN apm.service_latency_1m.p90_ms IS '90 % of the requests took at most this, in milliseconds, within 1.083 %.';
COMMENT ON COLUMN apm.service_latency_1m.p95_ms IS '95 % of the requests took at most this, in milliseconds, within 1.083 %.';
COMMENT ON COLUMN apm.service_latency_1m.p99_ms IS '99 % of the requests took at most this, in milliseconds, within 1.083 %.';
COMMENT ON COLUMN apm.service_latency_1m.duration_ms_max IS 'The longest duration in milliseconds.';

CREATE VIEW apm.service_latency_1h AS
SELECT
  bucket,
  service_name,
  environment,
  sum(request_count) AS request_count,
  least(apm.percentile(0.5, array_agg(duration_bin), array_agg(request_count)) / 1000, max(duration_ms_max)) AS p50_ms,
  least(apm.percentile(0.90, array_agg(duration_bin), array_agg(request_count)) / 1000, max(duration_ms_max)) AS p90_ms,
  least(apm.percentile(0.95, array_agg(duration_bin), array_agg(request_count)) / 1000, max(duration_ms_max)) AS p95_ms,
  least(apm.percentile(0.99, array_agg(duration_bin), array_agg(request_count)) / 1000, max(duration_ms_max)) AS p99_ms,
  max(duration_ms_max) AS duration_ms_max
FROM apm.service_latency_bins_1h
GROUP BY bucket, service_name, environment;
COMMENT ON VIEW apm.service_latency_1h IS 'Percentiles of the requests of a service: one row an hour. They cannot be put together to those of a longer time: take apm.service_latency_bins_1h for that.';
COMMENT ON COLUMN apm.service_latency_1h.bucket IS 'Start of the hour, which ends where the next begins. Give it a range.';
COMMENT ON COLUMN apm.service_latency_1h.service_name IS 'Name of the service.';
COMMENT ON COLUMN apm.service_latency_1h.environment IS 'Environment, such as production.';
COMMENT ON COLUMN apm.service_latency_1h.request_count IS 'Requests: SERVER spans, each as often as its sample_weight says.';
COMMENT ON COLUMN apm.service_latency_1h.p50_ms IS 'Half of the requests took at most this, in milliseconds, within 1.083 %.';
COMMENT ON COLUMN apm.service_latency_1h.p90_ms IS '90 % of the requests took at most this, in milliseconds, within 1.083 %.';
COMMENT ON COLUMN apm.service_latency_1h.p95_ms IS '95 % of the requests took at most this, in milliseconds, within 1.083 %.';
COMMENT ON COLUMN apm.service_latency_1h.p99_ms IS '99 % of the requests took at most this, in milliseconds, within 1.083 %.';
COMMENT ON COLUMN apm.service_latency_1h.duration_ms_max IS 'The longest duration in milliseconds.';

CREATE VIEW apm.endpoint_latency_1m AS
SELECT
  bucket,
  service_name,
  environment,
  endpoint,
  sum(request_count) AS request_count,
  least(apm.percentile(0.5, array_agg(duration_bin), array_agg(request_count)) / 1000, max(duration_ms_max)) AS p50_ms,
  least(apm.percentile(0.90, array_agg(duration_bin), array_agg(request_count)) / 1000, max(duration_ms_max)) AS p90_ms,
  least(apm.percentile(0.95, array_agg(duration_bin), array_agg(request_count)) / 1000, max(duration_ms_max)) AS p95_ms,
  least(apm.percentile(0.99, array_agg(duration_bin), array_agg(request_count)) / 1000, max(duration_ms_max)) AS p99_ms,
  max(duration_ms_max) AS duration_ms_max
FROM apm.endpoint_latency_bins_1m
GROUP BY bucket, service_name, environment, endpoint;
COMMENT ON VIEW apm.endpoint_latency_1m IS 'Percentiles of the requests of an endpoint of a service: one row a minute. They cannot be put together to those of a longer time: take apm.endpoint_latency_bins_1m for that.';
COMMENT ON COLUMN apm.endpoint_latency_1m.bucket IS 'Start of the minute, which ends where the next begins. Give it a range.';
COMMENT ON COLUMN apm.endpoint_latency_1m.service_name IS 'Name of the service.';
COMMENT ON COLUMN apm.endpoint_latency_1m.environment IS 'Environment, such as production.';
COMMENT ON COLUMN apm.endpoint_latency_1m.endpoint IS 'The operation with ids taken out of its path; other where a service had too many.';
COMMENT ON COLUMN apm.endpoint_latency_1m.request_count IS 'Requests: SERVER spans, each as often as its sample_weight says.';
COMMENT ON COLUMN apm.endpoint_latency_1m.p50_ms IS 'Half of the requests took at most this, in milliseconds, within 1.083 %.';
COMMENT ON COLUMN apm.endpoint_latency_1m.p90_ms IS '90 % of the requests took at most this, in milliseconds, within 1.083 %.';
COMMENT ON COLUMN apm.endpoint_latency_1m.p95_ms IS '95 % of the requests took at most this, in milliseconds, within 1.083 %.';
COMMENT ON COLUMN apm.endpoint_latency_1m.p99_ms IS '99 % of the requests took at most this, in milliseconds, within 1.083 %.';
COMMENT ON COLUMN apm.endpoint_latency_1m.duration_ms_max IS 'The longest duration in milliseconds.';

CREATE VIEW apm.endpoint_latency_1h AS
SELECT
  bucket,
  service_name,
  environment,
  endpoint,
  sum(request_count) AS request_count,
  least(apm.percentile(0.5, array_agg(duration_bin), array_agg(request_count)) / 1000, max(duration_ms_max)) AS p50_ms,
  least(apm.percentile(0.90, array_agg(duration_bin), array_agg(request_count)) / 1000, max(duration_ms_max)) AS p90_ms,
  least(apm.percentile(0.95, array_agg(duration_bin), array_agg(request_count)) / 1000, max(duration_ms_max)) AS p95_ms,
  least(apm.percentile(0.99, array_agg(duration_bin), array_agg(request_count)) / 1000, max(duration_ms_max)) AS p99_ms,
  max(duration_ms_max) AS duration_ms_max
FROM apm.endpoint_latency_bins_1h
GROUP BY bucket, service_name, environment, endpoint;
COMMENT ON VIEW apm.endpoint_latency_1h IS 'Percentiles of the requests of an endpoint of a service: one row an hour. They cannot be put together to those of a longer time: take apm.endpoint_latency_bins_1h for that.';
COMMENT ON COLUMN apm.endpoint_latency_1h.bucket IS 'Start of the hour, which ends where the next begins. Give it a range.';
COMMENT ON COLUMN apm.endpoint_latency_1h.service_name IS 'Name of the service.';
COMMENT ON COLUMN apm.endpoint_latency_1h.environment IS 'Environment, such as production.';
COMMENT ON COLUMN apm.endpoint_latency_1h.endpoint IS 'The operation with ids taken out of its path; other where a service had too many.';
COMMENT ON COLUMN apm.endpoint_latency_1h.request_count IS 'Requests: SERVER spans, each as often as its sample_weight says.';
COMMENT ON COLUMN apm.endpoint_latency_1h.p50_ms IS 'Half of the requests took at most this, in milliseconds, within 1.083 %.';
COMMENT ON COLUMN apm.endpoint_latency_1h.p90_ms IS '90 % of the requests took at most this, in milliseconds, within 1.083 %.';
COMMENT ON COLUMN apm.endpoint_latency_1h.p95_ms IS '95 % of the requests took at most this, in milliseconds, within 1.083 %.';
COMMENT ON COLUMN apm.endpoint_latency_1h.p99_ms IS '99 % of the requests took at most this, in milliseconds, within 1.083 %.';
COMMENT ON COLUMN apm.endpoint_latency_1h.duration_ms_max IS 'The longest duration in milliseconds.';

CREATE VIEW apm.log_counts_1m WITH (security_barrier) AS
SELECT
  bucket,
  service_name,
  environment,
  CASE WHEN severity_number < 9 THEN 'DEBUG' WHEN severity_number < 13 THEN 'INFO' WHEN severity_number < 17 THEN 'WARN' ELSE 'ERROR' END AS level,
  sum(log_count) AS log_count
FROM timespan.log_counts_1m
WHERE (timespan.visible_environments() IS NULL OR environment = ANY (timespan.visible_environments()))
  AND (timespan.visible_services() IS NULL OR service_name = ANY (timespan.visible_services()))
GROUP BY 1, 2, 3, 4;
COMMENT ON VIEW apm.log_counts_1m IS 'Log records of a service by level: one row a minute.';
COMMENT ON COLUMN apm.log_counts_1m.bucket IS 'Start of the minute, which ends where the next begins. Give it a range.';
COMMENT ON COLUMN apm.log_counts_1m.service_name IS 'Name of the service.';
COMMENT ON COLUMN apm.log_counts_1m.environment IS 'Environment, such as production.';
COMMENT ON COLUMN apm.log_counts_1m.level IS 'DEBUG, INFO, WARN or ERROR.';
COMMENT ON COLUMN apm.log_counts_1m.log_count IS 'How many log records.';

CREATE VIEW apm.log_counts_1h WITH (security_barrier) AS
SELECT
  bucket,
  service_name,
  environment,
  CASE WHEN severity_number < 9 THEN 'DEBUG' WHEN severity_number < 13 THEN 'INFO' WHEN severity_number < 17 THEN 'WARN' ELSE 'ERROR' END AS level,
  sum(log_count) AS log_count
FROM timespan.log_counts_1h
WHERE (timespan.visible_environments() IS NULL OR environment = ANY (timespan.visible_environments()))
  AND (timespan.visible_services() IS NULL OR service_name = ANY (timespan.visible_services()))
GROUP BY 1, 2, 3, 4;
COMMENT ON VIEW apm.log_counts_1h IS 'Log records of a service by level: one row an hour.';
COMMENT ON COLUMN apm.log_counts_1h.bucket IS 'Start of the hour, which ends where the next begins. Give it a range.';
COMMENT ON COLUMN apm.log_counts_1h.service_name IS 'Name of the service.';
COMMENT ON COLUMN apm.log_counts_1h.environment IS 'Environment, such as production.';
COMMENT ON COLUMN apm.log_counts_1h.level IS 'DEBUG, INFO, WARN or ERROR.';
COMMENT ON COLUMN apm.log_counts_1h.log_count IS 'How many log records.';

CREATE VIEW timespan.visible_log_counts_1h WITH (security_barrier) AS
SELECT bucket, service_name, environment, CASE WHEN severity_number < 9 THEN 'DEBUG' WHEN severity_number < 13 THEN 'INFO' WHEN severity_number < 17 THEN 'WARN' ELSE 'ERROR' END AS level, pattern_id, sum(log_count) AS log_count
FROM timespan.log_counts_1h
WHERE (timespan.visible_environments() IS NULL OR environment = ANY (timespan.visible_environments()))
  AND (timespan.visible_services() IS NULL OR service_name = ANY (timespan.visible_services()))
GROUP BY 1, 2, 3, 4, 5;
COMMENT ON VIEW timespan.visible_log_counts_1h IS 'The counts of log records that the login of this session may see, by level and pattern: one row an hour.';
COMMENT ON COLUMN timespan.visible_log_counts_1h.bucket IS 'Start of the hour, which ends where the next begins. Give it a range.';
COMMENT ON COLUMN timespan.visible_log_counts_1h.service_name IS 'Name of the service.';
COMMENT ON COLUMN timespan.visible_log_counts_1h.environment IS 'Environment, such as production.';
COMMENT ON COLUMN timespan.visible_log_counts_1h.level IS 'DEBUG, INFO, WARN or ERROR.';
COMMENT ON COLUMN timespan.visible_log_counts_1h.pattern_id IS 'The pattern, as in apm.logs.';
COMMENT ON COLUMN timespan.visible_log_counts_1h.log_count IS 'How many log records.';

CREATE VIEW apm.log_patterns AS
SELECT
  counted.bucket,
  counted.service_name,
  counted.environment,
  counted.level,
  counted.pattern_id,
  known.pattern,
  counted.log_count,
  -- Of a pattern that others share, the time would tell of their rows.
  CASE WHEN timespan.sees_everything() THEN known.first_seen END AS first_seen
FROM timespan.visible_log_counts_1h AS counted
LEFT JOIN timespan.log_patterns AS known ON known.pattern_id = counted.pattern_id;
COMMENT ON VIEW apm.log_patterns IS 'What services log: log records by the statement that wrote them, one row an hour, service, environment, level and pattern.';
COMMENT ON COLUMN apm.log_patterns.bucket IS 'Start of the hour, which ends where the next begins. Give it a range.';
COMMENT ON COLUMN apm.log_patterns.service_name IS 'Name of the service.';
COMMENT ON COLUMN apm.log_patterns.environment IS 'Environment, such as production.';
COMMENT ON COLUMN apm.log_patterns.level IS 'DEBUG, INFO, WARN or ERROR.';
COMMENT ON COLUMN apm.log_patterns.pattern_id IS 'The pattern, as in apm.logs.';
COMMENT ON COLUMN apm.log_patterns.pattern IS 'First line of the message, with <*> for each quoted text, uuid, hex string and number, and … where more followed; other where a service had too many.';
COMMENT ON COLUMN apm.log_patterns.log_count IS 'How many log records.';
COMMENT ON COLUMN apm.log_patterns.first_seen IS 'When a log of this pattern was first stored by any service; null for analysts who see only some rows.';

-- An hour at a time, so that a condition on bucket excludes the chunks of all others.
CREATE VIEW apm.trace_completeness AS
SELECT
  hour.bucket,
  counted.trace_count,
  counted.rooted_count,
  counted.rooted_count / counted.trace_count::double precision AS rooted_share,
  CASE
    WHEN counted.rooted_count >= 0.99 * counted.trace_count THEN 'EXCELLENT'
    WHEN counted.rooted_count >= 0.95 * counted.trace_count THEN 'GOOD'
    WHEN counted.rooted_count >= 0.8 * counted.trace_count THEN 'FAIR'
    ELSE 'POOR'
  END AS grade
FROM (
  SELECT generate_series(
    date_bin(INTERVAL '1 hour', min(first_time), TIMESTAMPTZ '2000-01-01 00:00:00+00'), max(first_time) + INTERVAL '1 hour', INTERVAL '1 hour'
  ) AS bucket
  FROM timespan.trace_locator
) AS hour
CROSS JOIN LATERAL (
  SELECT count(*) AS trace_count, count(*) FILTER (WHERE has_root) AS rooted_count
  FROM (
    SELECT bool_or(parent_span_id IS NULL) AS has_root
    FROM timespan.visible_spans
    WHERE start_time >= hour.bucket AND start_time < hour.bucket + INTERVAL '1 hour'
    GROUP BY trace_id
  ) AS trace
) AS counted
WHERE counted.trace_count > 0;
COMMENT ON VIEW apm.trace_completeness IS 'How many traces have their root: one row an hour. A trace counts in each hour in which a span of it began, so one that runs over the full hour lacks its root in the second.';
COMMENT ON COLUMN apm.trace_completeness.bucket IS 'Start of the hour. Give it a range.';
COMMENT ON COLUMN apm.trace_completeness.trace_count IS 'Traces with a span that began in this hour.';
COMMENT ON COLUMN apm.trace_completeness.rooted_count IS 'How many of them have a root that began in this hour.';
COMMENT ON COLUMN apm.trace_completeness.rooted_share IS 'rooted_count / trace_count, 0 to 1.';
COMMENT ON COLUMN apm.trace_completeness.grade IS 'EXCELLENT from 99 %, GOOD from 95 %, FAIR from 80 %, POOR below.';

CREATE VIEW apm.ingest_ledger AS
SELECT
  topic,
  partition,
  next_offset,
  high_watermark,
  greatest(high_watermark - next_offset, 0) AS waiting_count,
  row_count,
  dead_letter_count,
  written_at,
  behind_since
FROM timespan.ingest_offsets
-- Counts of all rows are for those who may see all rows.
WHERE timespan.sees_everything();
COMMENT ON VIEW apm.ingest_ledger IS 'How far each partition of Kafka is stored: one row a partition. Empty for analysts who see only some rows.';
COMMENT ON COLUMN apm.ingest_ledger.topic IS 'Kafka topic.';
COMMENT ON COLUMN apm.ingest_ledger.partition IS 'Partition of the topic.';
COMMENT ON COLUMN apm.ingest_ledger.next_offset IS 'The first offset that is not yet stored.';
COMMENT ON COLUMN apm.ingest_ledger.high_watermark IS 'End of the partition when the stream-processor last looked.';
COMMENT ON COLUMN apm.ingest_ledger.waiting_count IS 'Records between the two: what waited to be stored then.';
COMMENT ON COLUMN apm.ingest_ledger.row_count IS 'Rows stored from this partition.';
COMMENT ON COLUMN apm.ingest_ledger.dead_letter_count IS 'Dead letters stored from this partition.';
COMMENT ON COLUMN apm.ingest_ledger.written_at IS 'When rows or dead letters were last stored.';
COMMENT ON COLUMN apm.ingest_ledger.behind_since IS 'Since when records wait that were seen and not yet stored; null where none does.';

GRANT SELECT ON
  apm.service_red_1m,
  apm.service_red_1h,
  apm.endpoint_red_1m,
  apm.endpoint_red_1h,
  apm.service_latency_bins_1m,
  apm.service_latency_bins_1h,
  apm.endpoint_latency_bins_1m,
  apm.endpoint_latency_bins_1h,
  apm.service_latency_1m,
  apm.service_latency_1h,
  apm.endpoint_latency_1m,
  apm.endpoint_latency_1h,
  apm.log_counts_1m,
  apm.log_counts_1h,
  apm.log_patterns,
  apm.trace_completeness,
  apm.ingest_ledger
TO timespan_reader, timespan_analyst;

RESET ROLE;
