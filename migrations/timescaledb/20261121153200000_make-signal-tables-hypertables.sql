-- Up Migration

-- TimescaleDB runs a policy as the owner of its hypertable, and refuses owners that may not log in.
-- The role has no password, so nobody can.
ALTER ROLE timespan_owner LOGIN;

SET LOCAL ROLE timespan_owner;

-- The columns are written once, in the migration before; here they get the storage of this engine. LIKE brings
-- indexes and the comments of columns along; comments and grants of the tables follow in the next migration.
-- A batch of the columnstore holds one environment: so deleting those of one environment drops batches as they are,
-- where mixed ones would be decompressed row by row, at several hundred times the cost.
ALTER TABLE timespan.spans RENAME TO spans_columns;
CREATE TABLE timespan.spans (LIKE timespan.spans_columns INCLUDING ALL) WITH (
  tsdb.hypertable,
  tsdb.partition_column = 'start_time',
  tsdb.chunk_interval = '6 hours',
  tsdb.create_default_indexes = false,
  tsdb.segmentby = 'service_name, environment',
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
  tsdb.segmentby = 'service_name, environment',
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

-- CREATE TABLE adds a columnstore policy that runs once a day; rows should not stay uncompressed that long. After 45
-- minutes what comes is late (LATE_AFTER, 30 minutes where nothing is set) and staged, so nobody writes into the chunk.
DO $$
DECLARE
  hypertable regclass;
BEGIN
  FOREACH hypertable IN ARRAY ARRAY['timespan.spans', 'timespan.log_records', 'timespan.trace_locator']::regclass[] LOOP
    CALL public.remove_columnstore_policy(hypertable, if_exists => true);
    CALL public.add_columnstore_policy(hypertable, after => INTERVAL '45 minutes', schedule_interval => INTERVAL '15 minutes');
  END LOOP;
END
$$;

-- Whatever is a hypertable or a continuous aggregate of ours has a retention; the suffix of a rollup is its grain.
CREATE FUNCTION timespan.kept_relations()
RETURNS TABLE (
  relation_name name,
  setting_name text,
  length interval,
  hypertable_schema name,
  hypertable_name name
)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT
    kept.relation_name,
    kept.setting_name,
    CASE kept.relation_name
      -- A locator leads to spans and logs, so it is needed as long as either.
      WHEN 'trace_locator' THEN GREATEST(timespan.storage_setting('retention_spans'), timespan.storage_setting('retention_logs'))
      ELSE timespan.storage_setting(kept.setting_name)
    END,
    kept.hypertable_schema,
    kept.hypertable_name
  FROM (
    SELECT
      relation.relation_name,
      CASE
        WHEN relation.relation_name IN ('spans', 'trace_locator') THEN 'retention_spans'
        WHEN relation.relation_name = 'log_records' THEN 'retention_logs'
        WHEN relation.relation_name ~ '_1m$' THEN 'retention_rollup_1m'
        -- Ten minutes are what long series are drawn from: they are few, and kept as long as hours.
        WHEN relation.relation_name ~ '_(10m|1h)$' THEN 'retention_rollup_1h'
      END AS setting_name,
      relation.hypertable_schema,
      relation.hypertable_name
    FROM (
      SELECT hypertable_name, hypertable_schema, hypertable_name
      FROM timescaledb_information.hypertables
      WHERE hypertable_schema = 'timespan'
      UNION ALL
      SELECT view_name, materialization_hypertable_schema, materialization_hypertable_name
      FROM timescaledb_information.continuous_aggregates
      WHERE view_schema = 'timespan'
    ) AS relation (relation_name, hypertable_schema, hypertable_name)
  ) AS kept
  WHERE kept.setting_name IS NOT NULL
$$;
COMMENT ON FUNCTION timespan.kept_relations() IS
  'Each hypertable and continuous aggregate that a retention policy holds for, its setting, and where its chunks are.';

CREATE FUNCTION timespan.maintain_storage() RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  target record;
  relation regclass;
  chunk_interval interval := timespan.storage_setting('chunk_interval');
BEGIN
  PERFORM pg_advisory_xact_lock(hashtext('timespan.maintain_storage'));
  FOR target IN SELECT * FROM timespan.kept_relations() LOOP
    relation := format('timespan.%I', target.relation_name)::regclass;
    IF NOT EXISTS (
      SELECT FROM timescaledb_information.jobs AS job
      WHERE job.proc_name = 'policy_retention'
        AND (job.hypertable_schema, job.hypertable_name) IN (
          ('timespan', target.relation_name), (target.hypertable_schema, target.hypertable_name)
        )
        AND (job.config ->> 'drop_after')::interval = target.length
    ) THEN
      PERFORM public.remove_retention_policy(relation, if_exists => true);
      PERFORM public.add_retention_policy(relation, drop_after => target.length, schedule_interval => INTERVAL '1 hour');
    END IF;
  END LOOP;
  FOR relation IN
    SELECT format('timespan.%I', dimension.hypertable_name)::regclass
    FROM timescaledb_information.dimensions AS dimension
    WHERE dimension.hypertable_schema = 'timespan'
      AND dimension.hypertable_name IN ('spans', 'log_records', 'trace_locator')
      AND dimension.time_interval <> chunk_interval
  LOOP
    PERFORM public.set_chunk_time_interval(relation, chunk_interval);
  END LOOP;
  DELETE FROM timespan.dead_letters WHERE received_at < now() - timespan.storage_setting('retention_dead_letters');
END
$$;
COMMENT ON FUNCTION timespan.maintain_storage() IS
  'Brings retention policies and chunk intervals to storage_settings. Cheap when nothing changed; called at start and every hour.';
REVOKE EXECUTE ON FUNCTION timespan.maintain_storage() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION timespan.maintain_storage() TO timespan_writer;
SELECT timespan.maintain_storage();

CREATE FUNCTION timespan.delete_expired_rows(rows_max integer) RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
-- The rows of one chunk and environment, whose batches go whole; only a batch that is older than segmentby by
-- environment would be decompressed.
SET timescaledb.max_tuples_decompressed_per_dml_transaction = 0
AS $$
DECLARE
  step record;
  environment_name text;
  step_count bigint;
  deleted_count bigint := 0;
BEGIN
  -- Another process is at it: what is left is its work.
  IF NOT pg_try_advisory_xact_lock(hashtext('timespan.delete_expired_rows')) THEN
    RETURN NULL;
  END IF;
  SELECT
    setting.name,
    setting.environment,
    format('%I.%I', chunk.chunk_schema, chunk.chunk_name) AS chunk,
    chunk.range_end,
    chunk.is_compressed
  INTO step
  FROM timespan.storage_settings AS setting
  JOIN timescaledb_information.chunks AS chunk
    ON chunk.hypertable_schema = 'timespan'
    AND chunk.hypertable_name = CASE setting.name WHEN 'retention_spans' THEN 'spans' WHEN 'retention_logs' THEN 'log_records' END
  WHERE setting.environment IS NOT NULL
    AND chunk.range_end <= now() - setting.length
    AND chunk.range_end > COALESCE(setting.deleted_through, '-infinity')
  ORDER BY chunk.range_end, setting.name, setting.environment
  LIMIT 1;
  IF NOT FOUND THEN
    RETURN NULL;
  END IF;

  FOR environment_name IN EXECUTE format('SELECT DISTINCT environment FROM %s', step.chunk) LOOP
    CONTINUE WHEN timespan.environment_key(environment_name) <> step.environment;
    IF step.is_compressed THEN
      EXECUTE format('SELECT count(*) FROM %s WHERE environment = $1', step.chunk) INTO step_count USING environment_name;
      EXECUTE format('DELETE FROM %s WHERE environment = $1', step.chunk) USING environment_name;
    ELSE
      EXECUTE format(
        'DELETE FROM %1$s WHERE ctid = ANY (ARRAY(SELECT ctid FROM %1$s WHERE environment = $1 LIMIT $2))', step.chunk
      ) USING environment_name, rows_max - deleted_count;
      GET DIAGNOSTICS step_count = ROW_COUNT;
    END IF;
    deleted_count := deleted_count + step_count;
    EXIT WHEN deleted_count >= rows_max AND NOT step.is_compressed;
  END LOOP;
  IF deleted_count < rows_max OR step.is_compressed THEN
    UPDATE timespan.storage_settings SET deleted_through = step.range_end
    WHERE name = step.name AND environment = step.environment;
  END IF;
  RETURN deleted_count;
END
$$;
COMMENT ON FUNCTION timespan.delete_expired_rows(integer) IS
  'Deletes rows of environments with a retention of their own from the oldest chunk that is wholly past it, and says how many: of a chunk in the columnstore all, of another at most rows_max. Null when nothing is left to do.';
REVOKE EXECUTE ON FUNCTION timespan.delete_expired_rows(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION timespan.delete_expired_rows(integer) TO timespan_writer;

RESET ROLE;
