-- Up Migration
SET LOCAL ROLE timespan_owner;

-- The columns are written once, in the migration before; here they get the storage of this engine. LIKE brings
-- indexes and the comments of columns along; comments and grants of the tables follow in the next migration.
ALTER TABLE timespan.spans RENAME TO spans_columns;
CREATE TABLE timespan.spans (LIKE timespan.spans_columns INCLUDING ALL) PARTITION BY RANGE (start_time);
DROP TABLE timespan.spans_columns;

ALTER TABLE timespan.log_records RENAME TO log_records_columns;
CREATE TABLE timespan.log_records (LIKE timespan.log_records_columns INCLUDING ALL) PARTITION BY RANGE (time);
DROP TABLE timespan.log_records_columns;

ALTER TABLE timespan.trace_locator RENAME TO trace_locator_columns;
CREATE TABLE timespan.trace_locator (LIKE timespan.trace_locator_columns INCLUDING ALL) PARTITION BY RANGE (first_time);
DROP TABLE timespan.trace_locator_columns;

CREATE FUNCTION timespan.maintain_storage(
  retention_spans interval,
  retention_logs interval,
  retention_dead_letters interval,
  chunk_interval interval
) RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
DECLARE
  target record;
  day timestamptz;
  partition_name text;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtext('timespan.maintain_storage'));
  FOR target IN
    SELECT * FROM (VALUES
      ('spans', retention_spans),
      ('log_records', retention_logs),
      ('trace_locator', GREATEST(retention_spans, retention_logs))
    ) AS signal (table_name, retention)
  LOOP
    -- Every time that is accepted has its day: as far back as rows are kept, and two days ahead, so that a
    -- maintenance that fails for a day stops nothing.
    FOR day IN
      SELECT generate_series(date_trunc('day', now() - target.retention), date_trunc('day', now()) + INTERVAL '2 days', INTERVAL '1 day')
    LOOP
      partition_name := format('%s_%s', target.table_name, to_char(day, 'YYYYMMDD'));
      IF to_regclass(format('timespan.%I', partition_name)) IS NULL THEN
        EXECUTE format(
          'CREATE TABLE timespan.%I PARTITION OF timespan.%I FOR VALUES FROM (%L) TO (%L)',
          partition_name, target.table_name, day, day + INTERVAL '1 day'
        );
      END IF;
    END LOOP;
    FOR partition_name IN
      SELECT child.relname
      FROM pg_inherits
      JOIN pg_class AS child ON child.oid = pg_inherits.inhrelid
      WHERE pg_inherits.inhparent = format('timespan.%I', target.table_name)::regclass
        AND right(child.relname, 8) < to_char(now() - target.retention, 'YYYYMMDD')
    LOOP
      EXECUTE format('DROP TABLE timespan.%I', partition_name);
    END LOOP;
  END LOOP;
  DELETE FROM timespan.dead_letters WHERE received_at < now() - retention_dead_letters;
END
$$;
COMMENT ON FUNCTION timespan.maintain_storage(interval, interval, interval, interval) IS
  'Makes the daily partitions that accepted rows need and drops those past retention. chunk_interval is for TimescaleDB; here a partition is a day. Called at start and every hour.';

REVOKE EXECUTE ON FUNCTION timespan.maintain_storage(interval, interval, interval, interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION timespan.maintain_storage(interval, interval, interval, interval) TO timespan_writer;
SELECT timespan.maintain_storage(INTERVAL '7 days', INTERVAL '7 days', INTERVAL '30 days', INTERVAL '6 hours');

RESET ROLE;
