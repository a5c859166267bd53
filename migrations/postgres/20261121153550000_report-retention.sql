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
  held record;
BEGIN
  FOR kept IN
    SELECT source.relation_name, source.time_column, setting.name, setting.environment, setting.deleted_through,
      CASE source.relation_name WHEN 'trace_locator'
        THEN GREATEST(setting.length, timespan.storage_setting('retention_logs')) ELSE setting.length
      END AS length
    FROM (VALUES
      ('spans', 'start_time', 'retention_spans'),
      ('log_records', 'time', 'retention_logs'),
      ('trace_locator', 'first_time', 'retention_spans')
    ) AS source (relation_name, time_column, setting_name)
    JOIN timespan.storage_settings AS setting ON setting.name = source.setting_name
    WHERE setting.environment IS NULL OR source.relation_name <> 'trace_locator'
  LOOP
    signal := substr(kept.name, length('retention_') + 1);
    relation := kept.relation_name;
    environment := kept.environment;
    retention := kept.length;
    size_bytes := NULL;
    oldest_time := NULL;
    next_drop_time := NULL;
    IF kept.environment IS NULL THEN
      SELECT sum(pg_total_relation_size(format('timespan.%I', day.partition_name)::regclass)) INTO size_bytes
      FROM timespan.held_days(kept.relation_name) AS day;
    END IF;
    -- Days are looked at from the oldest until one has a row: there is no index by time alone.
    FOR held IN SELECT * FROM timespan.held_days(kept.relation_name) ORDER BY day_end LOOP
      EXECUTE format(
        'SELECT min(%I) FROM timespan.%I%s', kept.time_column, held.partition_name,
        CASE WHEN kept.environment IS NULL THEN '' ELSE ' WHERE timespan.environment_key(environment) = $1' END
      ) INTO oldest_time USING kept.environment;
      IF oldest_time IS NOT NULL THEN
        next_drop_time := GREATEST(held.day_end + kept.length, now());
        EXIT;
      END IF;
    END LOOP;
    RETURN NEXT;
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
