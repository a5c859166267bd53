import type { Database } from "../database.ts";

/** The settings that matter to Timespan; sizes in bytes, times in seconds. */
export interface ServerSettings {
  sharedBuffersBytes: number;
  maxWalSizeBytes: number;
  checkpointTimeoutSeconds: number;
  walCompression: string;
  workMemBytes: number;
  maxWorkerProcesses: number;
  maxParallelWorkers: number;
  /** Null where TimescaleDB is not loaded. */
  timescaledbBackgroundWorkers: number | null;
}

/** @throws the driver's error where the database is away */
export async function readServerSettings(database: Database): Promise<ServerSettings> {
  const [row] = await database<ServerSettings[]>`
SELECT
  pg_size_bytes(current_setting('shared_buffers'))::double precision AS "sharedBuffersBytes",
  pg_size_bytes(current_setting('max_wal_size'))::double precision AS "maxWalSizeBytes",
  extract(epoch FROM current_setting('checkpoint_timeout')::interval)::double precision AS "checkpointTimeoutSeconds",
  current_setting('wal_compression') AS "walCompression",
  pg_size_bytes(current_setting('work_mem'))::double precision AS "workMemBytes",
  current_setting('max_worker_processes')::integer AS "maxWorkerProcesses",
  current_setting('max_parallel_workers')::integer AS "maxParallelWorkers",
  current_setting('timescaledb.max_background_workers', true)::integer AS "timescaledbBackgroundWorkers"`;
  if (row === undefined) throw new Error("a SELECT without FROM gives one row");
  return row;
}
