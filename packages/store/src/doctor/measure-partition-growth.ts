import type { Database } from "../database.ts";
import type { StorageGrowth } from "./storage-growth.ts";

/**
 * The growth of a database of plain PostgreSQL: the daily partitions of yesterday, or, where they are empty, what
 * today brought so far.
 * @throws the driver's error where the database is away
 */
export async function measurePartitionGrowth(database: Database): Promise<StorageGrowth> {
  const [row] = await database<StorageGrowth[]>`
WITH daily AS (
  SELECT
    parent.relname AS table_name,
    to_date(right(child.relname, 8), 'YYYYMMDD') AS day,
    pg_relation_size(child.oid) > 0 AS filled,
    pg_total_relation_size(child.oid)::numeric AS bytes,
    (now() AT TIME ZONE 'UTC')::date AS today
  FROM pg_inherits
  JOIN pg_class AS child ON child.oid = pg_inherits.inhrelid
  JOIN pg_class AS parent ON parent.oid = pg_inherits.inhparent
  WHERE parent.relnamespace = 'timespan'::regnamespace AND child.relname ~ '_\\d{8}$'
), passed AS (
  SELECT extract(epoch FROM (now() AT TIME ZONE 'UTC') - (now() AT TIME ZONE 'UTC')::date) AS seconds
)
SELECT
  pg_database_size(current_database())::double precision AS "databaseBytes",
  COALESCE(
    (SELECT sum(bytes) FROM daily WHERE day = today - 1 HAVING bool_or(filled)),
    (SELECT sum(bytes) FROM daily WHERE day = today HAVING bool_or(filled))
      * (SELECT 86400 / seconds FROM passed WHERE seconds >= 3600)
  )::double precision AS "bytesPerDay",
  extract(epoch FROM timespan.storage_setting('retention_spans'))::double precision / 86400 AS "retentionDays",
  (SELECT max(today - day) FROM daily WHERE table_name = 'spans' AND filled)::double precision AS "storedDays"`;
  if (row === undefined) throw new Error("a SELECT without FROM gives one row");
  return row;
}
