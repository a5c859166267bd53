import type { Database } from "../database.ts";

/** A background job of TimescaleDB in this database; times in seconds. */
export interface JobState {
  id: number;
  /** Its procedure, such as `policy_compression` or `refresh_rollups`. */
  procedure: string;
  /** The table or rollup it works on; null for a job of the whole database. */
  target: string | null;
  scheduled: boolean;
  scheduleSeconds: number;
  running: boolean;
  /** Whether its last run failed. */
  failed: boolean;
  /** What the newest failure said; null where none is on record. */
  lastError: string | null;
  /** Null where it never succeeded. */
  succeededSecondsAgo: number | null;
  /** How long ago it should have started; negative while it is not due, null where nothing is planned. */
  overdueSeconds: number | null;
}

/**
 * Our jobs and those that people added, not TimescaleDB's own (telemetry and such).
 * @throws the driver's error where the database is away or has no TimescaleDB
 */
export async function listJobs(database: Database): Promise<JobState[]> {
  const rows = await database<JobState[]>`
SELECT
  job.job_id AS id,
  job.proc_name AS procedure,
  COALESCE(aggregate.view_name, job.hypertable_name) AS target,
  job.scheduled,
  extract(epoch FROM job.schedule_interval)::double precision AS "scheduleSeconds",
  COALESCE(stats.job_status = 'Running', false) AS running,
  COALESCE(stats.last_run_status = 'Failed', false) AS failed,
  (
    SELECT error.err_message
    FROM timescaledb_information.job_errors AS error
    WHERE error.job_id = job.job_id
    ORDER BY error.finish_time DESC
    LIMIT 1
  ) AS "lastError",
  CASE
    WHEN isfinite(stats.last_successful_finish)
    THEN extract(epoch FROM now() - stats.last_successful_finish)::double precision
  END AS "succeededSecondsAgo",
  CASE
    WHEN isfinite(stats.next_start) THEN extract(epoch FROM now() - stats.next_start)::double precision
  END AS "overdueSeconds"
FROM timescaledb_information.jobs AS job
LEFT JOIN timescaledb_information.job_stats AS stats ON stats.job_id = job.job_id
LEFT JOIN timescaledb_information.continuous_aggregates AS aggregate
  ON aggregate.materialization_hypertable_schema = job.hypertable_schema
  AND aggregate.materialization_hypertable_name = job.hypertable_name
WHERE job.proc_schema NOT LIKE '\\_timescaledb\\_%' OR job.hypertable_name IS NOT NULL
ORDER BY job.job_id`;
  return [...rows];
}
