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

CREATE FUNCTION timespan.held_days(parent_name text) RETURNS TABLE (partition_name name, day_end timestamptz)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
  SELECT child.relname, to_date(right(child.relname, 8), 'YYYYMMDD')::timestamptz + INTERVAL '1 day'
  FROM pg_inherits
  JOIN pg_class AS child ON child.oid = pg_inherits.inhrelid
  WHERE pg_inherits.inhparent = to_regclass(format('timespan.%I', parent_name))
$$;
COMMENT ON FUNCTION timespan.held_days(text) IS 'The partitions of a table, a day each, and when that day ends.';

CREATE FUNCTION timespan.maintain_storage() RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
DECLARE
  retention_spans interval := timespan.storage_setting('retention_spans');
  retention_logs interval := timespan.storage_setting('retention_logs');
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
      SELECT held.partition_name FROM timespan.held_days(target.table_name) AS held
      WHERE held.day_end <= date_trunc('day', now() - target.retention)
    LOOP
      EXECUTE format('DROP TABLE timespan.%I', partition_name);
    END LOOP;
  END LOOP;
  DELETE FROM timespan.dead_letters WHERE received_at < now() - timespan.storage_setting('retention_dead_letters');
END
$$;
COMMENT ON FUNCTION timespan.maintain_storage() IS
  'Makes the daily partitions that accepted rows need and drops those past retention, as storage_settings says. Called at start and every hour.';
REVOKE EXECUTE ON FUNCTION timespan.maintain_storage() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION timespan.maintain_storage() TO timespan_writer;
SELECT timespan.maintain_storage();

CREATE FUNCTION timespan.delete_expired_rows(rows_max integer) RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  step record;
  deleted_count bigint;
BEGIN
  -- Another process is at it: what is left is its work.
  IF NOT pg_try_advisory_xact_lock(hashtext('timespan.delete_expired_rows')) THEN
    RETURN NULL;
  END IF;
  SELECT setting.name, setting.environment, held.partition_name, held.day_end
  INTO step
  FROM timespan.storage_settings AS setting
  CROSS JOIN LATERAL timespan.held_days(CASE setting.name WHEN 'retention_spans' THEN 'spans' WHEN 'retention_logs' THEN 'log_records' END) AS held
  WHERE setting.environment IS NOT NULL
    AND held.day_end <= now() - setting.length
    AND held.day_end > COALESCE(setting.deleted_through, '-infinity')
  ORDER BY held.day_end, setting.name, setting.environment
  LIMIT 1;
  IF NOT FOUND THEN
    RETURN NULL;
  END IF;
  EXECUTE format(
    'DELETE FROM timespan.%1$I WHERE ctid = ANY (ARRAY('
    'SELECT ctid FROM timespan.%1$I WHERE timespan.environment_key(environment) = $1 LIMIT $2))',
    step.partition_name
  ) USING step.environment, rows_max;
  GET DIAGNOSTICS deleted_count = ROW_COUNT;
  IF deleted_count < rows_max THEN
    UPDATE timespan.storage_settings SET deleted_through = step.day_end
    WHERE name = step.name AND environment = step.environment;
  END IF;
  RETURN deleted_count;
END
$$;
COMMENT ON FUNCTION timespan.delete_expired_rows(integer) IS
  'Deletes rows of environments with a retention of their own from the oldest day that is wholly past it, at most rows_max, and says how many. Null when nothing is left to do.';
REVOKE EXECUTE ON FUNCTION timespan.delete_expired_rows(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION timespan.delete_expired_rows(integer) TO timespan_writer;

RESET ROLE;
