-- Up Migration

-- TimescaleDB runs a policy as the owner of its hypertable, and refuses owners that may not log in.
-- The role has no password, so nobody can.
ALTER ROLE timespan_owner LOGIN;

SET LOCAL ROLE timespan_owner;

-- The columns are written once, in the migration before; here they get the storage of this engine. LIKE brings
-- indexes and the comments of columns along; comments and grants of the tables follow in the next migration.
ALTER TABLE timespan.spans RENAME TO spans_columns;
CREATE TABLE timespan.spans (LIKE timespan.spans_columns INCLUDING ALL) WITH (
  tsdb.hypertable,
  tsdb.partition_column = 'start_time',
  tsdb.chunk_interval = '6 hours',
  tsdb.create_default_indexes = false,
  tsdb.segmentby = 'service_name',
  tsdb.orderby = 'start_time DESC',
  tsdb.sparse_index = 'bloom(trace_id), minmax(duration_us)'
);
DROP TABLE timespan.spans_columns;

ALTER TABLE timespan.log_records RENAME TO log_records_columns;
CREATE TABLE timespan.log_records (LIKE timespan.log_records_columns INCLUDING ALL) WITH (
  tsdb.hypertable,
  tsdb.partition_column = 'time',
  tsdb.chunk_interval = '6 hours',
  tsdb.create_default_indexes = false,
  tsdb.segmentby = 'service_name',
  tsdb.orderby = 'time DESC',
  tsdb.sparse_index = 'bloom(trace_id), bloom(pattern_id), minmax(severity_number)'
);
DROP TABLE timespan.log_records_columns;

-- Ordered by trace, a batch of the columnstore holds a narrow range of ids: a look-up opens one or two.
ALTER TABLE timespan.trace_locator RENAME TO trace_locator_columns;
CREATE TABLE timespan.trace_locator (LIKE timespan.trace_locator_columns INCLUDING ALL) WITH (
  tsdb.hypertable,
  tsdb.partition_column = 'first_time',
  tsdb.chunk_interval = '6 hours',
  tsdb.create_default_indexes = false,
  tsdb.segmentby = '',
  tsdb.orderby = 'trace_id'
);
DROP TABLE timespan.trace_locator_columns;

-- CREATE TABLE adds a columnstore policy that runs once a day; rows should not stay uncompressed that long.
DO $$
DECLARE
  hypertable regclass;
BEGIN
  FOREACH hypertable IN ARRAY ARRAY['timespan.spans', 'timespan.log_records', 'timespan.trace_locator']::regclass[] LOOP
    CALL public.remove_columnstore_policy(hypertable, if_exists => true);
    CALL public.add_columnstore_policy(hypertable, after => INTERVAL '2 hours', schedule_interval => INTERVAL '15 minutes');
  END LOOP;
END
$$;

CREATE FUNCTION timespan.maintain_storage(
  retention_spans interval,
  retention_logs interval,
  retention_dead_letters interval,
  chunk_interval interval
) RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  target record;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtext('timespan.maintain_storage'));
  FOR target IN
    SELECT * FROM (VALUES
      ('spans'::name, retention_spans),
      ('log_records', retention_logs),
      ('trace_locator', GREATEST(retention_spans, retention_logs))
    ) AS signal (table_name, retention)
  LOOP
    IF NOT EXISTS (
      SELECT FROM timescaledb_information.jobs AS job
      WHERE job.proc_name = 'policy_retention'
        AND job.hypertable_schema = 'timespan'
        AND job.hypertable_name = target.table_name
        AND (job.config ->> 'drop_after')::interval = target.retention
    ) THEN
      PERFORM public.remove_retention_policy(format('timespan.%I', target.table_name)::regclass, if_exists => true);
      PERFORM public.add_retention_policy(
        format('timespan.%I', target.table_name)::regclass,
        drop_after => target.retention,
        schedule_interval => INTERVAL '1 hour'
      );
    END IF;
    IF NOT EXISTS (
      SELECT FROM timescaledb_information.dimensions AS dimension
      WHERE dimension.hypertable_schema = 'timespan'
        AND dimension.hypertable_name = target.table_name
        AND dimension.time_interval = chunk_interval
    ) THEN
      PERFORM public.set_chunk_time_interval(format('timespan.%I', target.table_name)::regclass, chunk_interval);
    END IF;
  END LOOP;
  DELETE FROM timespan.dead_letters WHERE received_at < now() - retention_dead_letters;
END
$$;
COMMENT ON FUNCTION timespan.maintain_storage(interval, interval, interval, interval) IS
  'Brings retention policies and chunk intervals to what was set. Cheap when nothing changed; called at start and every hour.';

REVOKE EXECUTE ON FUNCTION timespan.maintain_storage(interval, interval, interval, interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION timespan.maintain_storage(interval, interval, interval, interval) TO timespan_writer;
SELECT timespan.maintain_storage(INTERVAL '7 days', INTERVAL '7 days', INTERVAL '30 days', INTERVAL '6 hours');

RESET ROLE;
