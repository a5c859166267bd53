import { availableParallelism, totalmem } from "node:os";

const MIB = 1024 * 1024;
/** A local stack shares its machine with an editor and a browser. */
const SHARED_BUFFERS_BYTES_MAX = 512 * MIB;
const SHARED_BUFFERS_BYTES_MIN = 32 * MIB;
/** The scheduler of each database, and jobs that run at once; what finds none free is started a little later. */
const TIMESCALEDB_BACKGROUND_WORKERS = 48;
/** Of PostgreSQL itself: logical replication launcher, TimescaleDB's scheduler, and some to spare. */
const SPARE_WORKERS = 4;

export interface PostgresSettings {
  port: number;
  timescaledb: boolean;
  /** What this build offers. */
  walCompression: "lz4" | "pglz";
}

/**
 * The settings file of our private cluster, rewritten at every start. Sizes follow the machine: a quarter of its
 * memory for shared buffers, at most 512 MB.
 */
export function postgresSettings(settings: PostgresSettings): string {
  const memoryBytes = Math.min(totalmem(), process.constrainedMemory() || Number.POSITIVE_INFINITY);
  const sharedBuffersBytes = Math.max(
    SHARED_BUFFERS_BYTES_MIN,
    Math.min(memoryBytes / 4, SHARED_BUFFERS_BYTES_MAX),
  );
  const parallelWorkers = Math.max(2, availableParallelism());
  const jobWorkers = settings.timescaledb ? TIMESCALEDB_BACKGROUND_WORKERS : 0;
  const lines = [
    "# Written by Timespan at every start; your own settings belong in postgresql.auto.conf (ALTER SYSTEM).",
    "listen_addresses = '127.0.0.1'",
    `port = ${settings.port}`,
    "unix_socket_directories = ''",
    `shared_buffers = ${Math.floor(sharedBuffersBytes / MIB)}MB`,
    `effective_cache_size = ${Math.floor(memoryBytes / 2 / MIB)}MB`,
    "work_mem = 32MB",
    "maintenance_work_mem = 128MB",
    "max_wal_size = 2GB",
    "checkpoint_timeout = 15min",
    `wal_compression = ${settings.walCompression}`,
    `max_worker_processes = ${parallelWorkers + jobWorkers + SPARE_WORKERS}`,
    `max_parallel_workers = ${parallelWorkers}`,
    "timezone = 'UTC'",
    "log_timezone = 'UTC'",
    "log_checkpoints = off",
  ];
  if (settings.timescaledb) {
    lines.push(
      "shared_preload_libraries = 'timescaledb'",
      "timescaledb.telemetry_level = off",
      `timescaledb.max_background_workers = ${TIMESCALEDB_BACKGROUND_WORKERS}`,
    );
  }
  return `${lines.join("\n")}\n`;
}
