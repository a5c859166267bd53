import type { Database } from "../database.ts";

/** Chunks of one table or rollup that should be in the columnstore and are not. */
export interface OverdueChunks {
  target: string;
  count: number;
  /** When the oldest of them ended, in seconds before now. */
  oldestSecondsAgo: number;
}

/**
 * A chunk is overdue when its policy has had the time for two runs since the chunk was due. Chunks are due from when
 * they were made too: late rows can make one of last week.
 * @throws the driver's error where the database is away or has no TimescaleDB
 */
export async function listOverdueChunks(database: Database): Promise<OverdueChunks[]> {
  const rows = await database<OverdueChunks[]>`
SELECT
  COALESCE(aggregate.view_name, chunk.hypertable_name) AS target,
  count(*)::integer AS count,
  extract(epoch FROM now() - min(chunk.range_end))::double precision AS "oldestSecondsAgo"
FROM timescaledb_information.jobs AS job
LEFT JOIN timescaledb_information.continuous_aggregates AS aggregate
  ON aggregate.view_schema = job.hypertable_schema AND aggregate.view_name = job.hypertable_name
JOIN timescaledb_information.chunks AS chunk
  ON chunk.hypertable_schema = COALESCE(aggregate.materialization_hypertable_schema, job.hypertable_schema)
  AND chunk.hypertable_name = COALESCE(aggregate.materialization_hypertable_name, job.hypertable_name)
WHERE job.proc_name = 'policy_compression'
  AND NOT chunk.is_compressed
  AND now() > 2 * job.schedule_interval
    + GREATEST(chunk.range_end + (job.config ->> 'compress_after')::interval, chunk.chunk_creation_time)
GROUP BY 1
ORDER BY 1`;
  return [...rows];
}
