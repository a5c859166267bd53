import type { Stack } from "@timespan/local-stack/start-stack";
import type { Database } from "@timespan/store/database";
import { maintainRollups } from "@timespan/store/storage/maintain-rollups";
import { applyStorage } from "@timespan/testing/test-database";
import { loadCanonical } from "./load-canonical.ts";
import { cpuSeconds } from "./process-cost.ts";

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;
export const ROLLUPS = {
  lateAfterMs: 30 * MINUTE_MS,
  refreshIntervalMs: 30_000,
  refreshDelayMs: 2 * MINUTE_MS,
};

/**
 * Loads a day of the canonical workload that ends now, unless one is there, and leaves it as the jobs of a running
 * system would have: rolled up, in the columnstore, with no job to come.
 * @param database of a superuser, on a migrated schema
 */
export async function prepareCanonicalDay(
  stack: Stack,
  database: Database,
  { spans, logs, isTimescaledb }: { spans: number; logs: number; isTimescaledb: boolean },
): Promise<void> {
  await applyStorage(database);
  await maintainRollups(database, ROLLUPS);
  if (isTimescaledb)
    await database`SELECT alter_job(job_id, scheduled => false) FROM timescaledb_information.jobs WHERE job_id >= 1000`;
  const [loaded] = await database<{ is: boolean }[]>`SELECT EXISTS (SELECT FROM timespan.spans) AS is`;
  if (loaded?.is) return;

  const started = performance.now();
  const toMs = Math.floor(Date.now() / MINUTE_MS) * MINUTE_MS;
  let next = 0.1;
  await loadCanonical(database, {
    spans,
    logs,
    fromMs: toMs - DAY_MS,
    toMs,
    report: (share) => {
      if (share < next) return;
      process.stderr.write(`${Math.round(share * 100)} % loaded\n`);
      next += 0.1;
    },
  });
  console.log(`loaded in ${((performance.now() - started) / 1_000).toFixed(1)} s`);
  const cpuBefore = cpuSeconds(stack.postgres.pid ?? 0) ?? 0;
  if (isTimescaledb) {
    await runJobs(database, "refresh_rollups");
    console.log(
      `all rollups of the day: ${(((cpuSeconds(stack.postgres.pid ?? 0) ?? 0) - cpuBefore) / (spans / 1_000_000)).toFixed(1)} CPU seconds a million spans`,
    );
    await runJobs(database, "policy_compression");
  }
  await database`VACUUM (ANALYZE)`.simple();
}

/** Runs the jobs of TimescaleDB that call `procedure`, now. */
export async function runJobs(database: Database, procedure: string): Promise<void> {
  const jobs = await database<{ job_id: number }[]>`
    SELECT job_id FROM timescaledb_information.jobs WHERE proc_name = ${procedure} ORDER BY job_id`;
  for (const { job_id } of jobs) await database`CALL run_job(${job_id})`;
}
