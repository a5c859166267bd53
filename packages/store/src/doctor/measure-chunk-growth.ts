import type { Database } from "../database.ts";
import type { StorageGrowth } from "./storage-growth.ts";

/**
 * The growth of a database of TimescaleDB, from the sizes of the chunks of the last two days: those in the columnstore
 * where there are any, as all get there, otherwise all. Each table counts for the time that its chunks cover.
 * @throws the driver's error where the database is away or has no TimescaleDB
 */
export async function measureChunkGrowth(database: Database): Promise<StorageGrowth> {
  const [row] = await database<StorageGrowth[]>`
WITH recent AS (
  SELECT
    chunk.hypertable_schema,
    chunk.hypertable_name,
    chunk.is_compressed,
    size.total_bytes,
    extract(epoch FROM LEAST(chunk.range_end, now())
      - CASE
          WHEN chunk.chunk_creation_time < LEAST(chunk.range_end, now()) THEN GREATEST(chunk.range_start, chunk.chunk_creation_time)
          ELSE chunk.range_start
        END) AS seconds
  FROM timescaledb_information.chunks AS chunk
  JOIN LATERAL public.chunks_detailed_size(format('%I.%I', chunk.hypertable_schema, chunk.hypertable_name)::regclass) AS size
    ON size.chunk_schema = chunk.chunk_schema AND size.chunk_name = chunk.chunk_name
  WHERE chunk.range_end > now() - INTERVAL '48 hours' AND chunk.range_start < now()
), of_table AS (
  SELECT
    CASE
      WHEN bool_or(is_compressed) THEN sum(total_bytes) FILTER (WHERE is_compressed) / sum(seconds) FILTER (WHERE is_compressed)
      WHEN sum(seconds) >= 3600 THEN sum(total_bytes) / sum(seconds)
    END AS bytes_per_second
  FROM recent
  GROUP BY hypertable_schema, hypertable_name
)
SELECT
  pg_database_size(current_database())::double precision AS "databaseBytes",
  (SELECT sum(bytes_per_second) * 86400 FROM of_table)::double precision AS "bytesPerDay",
  extract(epoch FROM timespan.storage_setting('retention_spans'))::double precision / 86400 AS "retentionDays",
  (
    SELECT extract(epoch FROM now() - min(chunk.range_start)) / 86400
    FROM timescaledb_information.chunks AS chunk
    WHERE chunk.hypertable_schema = 'timespan' AND chunk.hypertable_name = 'spans'
  )::double precision AS "storedDays"`;
  if (row === undefined) throw new Error("a SELECT without FROM gives one row");
  return row;
}
