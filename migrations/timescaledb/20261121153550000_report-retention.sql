-- Up Migration
SET LOCAL ROLE timespan_owner;

CREATE FUNCTION timespan.read_retention()
RETURNS TABLE (
  signal text,
  relation text,
  environment text,
  retention interval,
  oldest_time timestamptz,
  size_bytes bigint,
  next_drop_time timestamptz
)
LANGUAGE plpgsql STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  kept record;
  setting record;
  hypertable regclass;
  time_column name;
  environments text[];
BEGIN
  FOR kept IN SELECT * FROM timespan.kept_relations() LOOP
    hypertable := format('%I.%I', kept.hypertable_schema, kept.hypertable_name)::regclass;
    signal := substr(kept.setting_name, length('retention_') + 1);
    relation := kept.relation_name;
    environment := NULL;
    retention := kept.length;
    size_bytes := public.hypertable_size(hypertable);
    SELECT dimension.column_name INTO time_column
    FROM timescaledb_information.dimensions AS dimension
    WHERE dimension.hypertable_schema = kept.hypertable_schema AND dimension.hypertable_name = kept.hypertable_name;
    EXECUTE format('SELECT min(%I) FROM %s', time_column, hypertable) INTO oldest_time;
    -- A chunk goes when all of it is past retention and the policy runs.
    SELECT GREATEST(min(chunk.range_end) + kept.length, max(job.next_start)) INTO next_drop_time
    FROM timescaledb_information.chunks AS chunk
    LEFT JOIN timescaledb_information.jobs AS job
      ON job.proc_name = 'policy_retention'
      AND (job.hypertable_schema, job.hypertable_name) IN (
        ('timespan', kept.relation_name), (kept.hypertable_schema, kept.hypertable_name)
      )
    WHERE chunk.hypertable_schema = kept.hypertable_schema AND chunk.hypertable_name = kept.hypertable_name
    HAVING count(*) > 0;
    RETURN NEXT;

    size_bytes := NULL;
    FOR setting IN
      SELECT stored.environment, stored.length, stored.deleted_through
      FROM timespan.storage_settings AS stored
      WHERE stored.name = kept.setting_name AND stored.environment IS NOT NULL AND kept.relation_name <> 'trace_locator'
    LOOP
      environment := setting.environment;
      retention := setting.length;
      -- By name, batches of other environments are not even opened; which names there are, a rollup knows.
      EXECUTE format(
        'SELECT array_agg(DISTINCT environment) FROM timespan.%I WHERE bucket > now() - $1 AND timespan.environment_key(environment) = $2',
        CASE kept.relation_name WHEN 'spans' THEN 'service_red_1h' ELSE 'log_counts_1h' END
      ) INTO environments USING kept.length, setting.environment;
      EXECUTE format('SELECT min(%I) FROM %s WHERE environment = ANY ($1)', time_column, hypertable)
        INTO oldest_time USING environments;
      SELECT GREATEST(min(chunk.range_end) + setting.length, now()) INTO next_drop_time
      FROM timescaledb_information.chunks AS chunk
      WHERE chunk.hypertable_schema = kept.hypertable_schema
        AND chunk.hypertable_name = kept.hypertable_name
        AND chunk.range_end > COALESCE(setting.deleted_through, '-infinity')
      HAVING count(*) > 0;
      RETURN NEXT;
    END LOOP;
  END LOOP;

  signal := 'dead_letters';
  relation := 'dead_letters';
  environment := NULL;
  retention := timespan.storage_setting('retention_dead_letters');
  SELECT min(received_at), min(received_at) + retention INTO oldest_time, next_drop_time FROM timespan.dead_letters;
  size_bytes := pg_total_relation_size('timespan.dead_letters');
  RETURN NEXT;
END
$$;

RESET ROLE;
