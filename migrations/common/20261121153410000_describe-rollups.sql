-- Up Migration
SET LOCAL ROLE timespan_owner;

-- The rollups as each engine made them; what is said of them here holds for both.
COMMENT ON VIEW timespan.endpoint_latency_bins_1m IS 'Durations of the calls of an endpoint: one row a minute and bin. Every other rollup of spans is built from it.';
COMMENT ON VIEW timespan.endpoint_latency_bins_1h IS 'Durations of the calls of an endpoint: one row an hour and bin.';
COMMENT ON VIEW timespan.endpoint_red_1m IS 'Requests, errors and durations of an endpoint: one row a minute.';
COMMENT ON VIEW timespan.endpoint_red_1h IS 'Requests, errors and durations of an endpoint: one row an hour.';
COMMENT ON VIEW timespan.service_latency_bins_1m IS 'Durations of the calls of a service: one row a minute and bin.';
COMMENT ON VIEW timespan.service_latency_bins_10m IS 'Durations of the calls of a service: one row ten minutes and bin.';
COMMENT ON VIEW timespan.service_latency_bins_1h IS 'Durations of the calls of a service: one row an hour and bin.';
COMMENT ON VIEW timespan.service_red_1m IS 'Requests, errors and durations of a service: one row a minute.';
COMMENT ON VIEW timespan.service_red_10m IS 'Requests, errors and durations of a service: one row ten minutes.';
COMMENT ON VIEW timespan.service_red_1h IS 'Requests, errors and durations of a service: one row an hour.';
COMMENT ON VIEW timespan.log_counts_1m IS 'Log records of a service by severity and pattern: one row a minute.';
COMMENT ON VIEW timespan.log_counts_1h IS 'Log records of a service by severity and pattern: one row an hour.';

-- The same column means the same in every rollup.
DO $$
DECLARE
  meaning record;
BEGIN
  FOR meaning IN
    SELECT format('COMMENT ON COLUMN timespan.%I.%I IS %L', attribute.attrelid::regclass, attribute.attname, described.meaning) AS statement
    FROM (VALUES
      ('bucket', 'Start of the time the row covers, up to the next bucket.'),
      ('service_name', 'Name of the service.'),
      ('environment', 'Environment, such as production.'),
      ('endpoint', 'The operation, as in spans.'),
      ('span_kind', 'OpenTelemetry SpanKind: 1 INTERNAL, 2 SERVER, 3 CLIENT, 4 PRODUCER, 5 CONSUMER.'),
      ('duration_bin', 'Bin of the duration, as in spans: see apm.percentile.'),
      ('span_count', 'How many spans: the sum of their weights, so that a sampled one counts for all it stands for.'),
      ('error_count', 'How many of them had status ERROR.'),
      ('duration_us_sum', 'Sum of their durations in microseconds, each times its weight.'),
      ('duration_us_max', 'The longest duration in microseconds.'),
      ('apdex_satisfied_count', 'How many took at most T = 500 ms and were no errors. Apdex = (satisfied + tolerating / 2) / span_count.'),
      ('apdex_tolerating_count', 'How many took more than T = 500 ms, at most 4 T, and were no errors.'),
      ('severity_number', 'OpenTelemetry severity, 1 to 24: 5 DEBUG, 9 INFO, 13 WARN, 17 ERROR.'),
      ('pattern_id', 'What the logs of one statement share: see timespan.log_patterns.'),
      ('log_count', 'How many log records.')
    ) AS described (column_name, meaning)
    JOIN pg_catalog.pg_attribute AS attribute ON attribute.attname = described.column_name
    JOIN pg_catalog.pg_class AS view ON view.oid = attribute.attrelid
    WHERE view.relnamespace = 'timespan'::regnamespace
      AND view.relkind = 'v'
      AND view.relname ~ '_(1m|10m|1h)(_stored)?$'
  LOOP
    EXECUTE meaning.statement;
  END LOOP;
END
$$;

DO $$
DECLARE
  rollup name;
BEGIN
  FOR rollup IN
    SELECT relname FROM pg_catalog.pg_class
    WHERE relnamespace = 'timespan'::regnamespace AND relkind = 'v' AND relname ~ '_(1m|10m|1h)$'
  LOOP
    EXECUTE format(
      'COMMENT ON VIEW timespan.%I IS %L', rollup || '_stored',
      format('What of timespan.%s is stored: every row up to its watermark (timespan.rollup_watermarks), none beyond.', rollup)
    );
    EXECUTE format('GRANT SELECT ON timespan.%I, timespan.%I TO timespan_reader', rollup, rollup || '_stored');
  END LOOP;
END
$$;

COMMENT ON FUNCTION timespan.rollup_watermarks() IS
  'Up to when each rollup is stored; -infinity where nothing is. It only grows, so what was read of it a while ago holds.';
REVOKE EXECUTE ON FUNCTION timespan.rollup_watermarks() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION timespan.rollup_watermarks() TO timespan_reader;

CREATE FUNCTION apm.bin_duration_us(duration_bin smallint) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURNS NULL ON NULL INPUT
RETURN CASE
  WHEN duration_bin = -32768 THEN 0
  ELSE 2 * power(2::double precision, (duration_bin + 1) / 32::double precision) / (power(2::double precision, 1 / 32::double precision) + 1)
END;
COMMENT ON FUNCTION apm.bin_duration_us(smallint) IS
  'What stands for every duration of a bin, in microseconds: 2LU / (L + U) of its bounds, which is within 1.083 % of each of them. 0 for the bin of zero.';

CREATE FUNCTION apm.percentile(p double precision, bins smallint[], counts double precision[]) RETURNS double precision
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE RETURNS NULL ON NULL INPUT
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF NOT p BETWEEN 0 AND 1 THEN
    RAISE EXCEPTION 'a percentile is asked for as a number from 0 to 1, not %', p USING ERRCODE = 'numeric_value_out_of_range';
  END IF;
  IF cardinality(bins) <> cardinality(counts) THEN
    RAISE EXCEPTION 'there are % bins, but % counts', cardinality(bins), cardinality(counts) USING ERRCODE = 'array_subscript_error';
  END IF;
  RETURN (
    SELECT apm.bin_duration_us(min(bin))
    FROM (
      SELECT bin, sum(n) OVER (ORDER BY bin) AS running, sum(n) OVER () AS total
      FROM unnest(bins, counts) AS given (bin, n)
      WHERE n > 0
    ) AS cumulated
    WHERE running >= p * total
  );
END
$$;
COMMENT ON FUNCTION apm.percentile(double precision, smallint[], double precision[]) IS
  'The p-quantile (0 to 1) of durations that were counted in bins, in microseconds; null without any. Bins may come in any order and more than once, so any rows of the latency bins may be put together by array_agg: of any window, services, endpoints, kinds and environments. It is within (base - 1) / (base + 1) = 1.083 %, base = 2^(1/32), of what percentile_disc finds in the durations themselves, each as often as its weight says; however much is put together, the error does not grow. A bin can end above the longest duration: take LEAST(apm.percentile(...), max(duration_us_max)).';
GRANT EXECUTE ON FUNCTION apm.percentile(double precision, smallint[], double precision[]), apm.bin_duration_us(smallint)
  TO timespan_reader, timespan_analyst;

RESET ROLE;
