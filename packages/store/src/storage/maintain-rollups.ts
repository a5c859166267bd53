import type { Database } from "../database.ts";
import { interval } from "./save-storage-settings.ts";

/** When rollups are brought up to date; all in milliseconds. */
export interface RollupSettings {
  /** Rows older than this when they arrive are staged: no other row reaches further back. */
  lateAfterMs: number;
  refreshIntervalMs: number;
  /** Age at which a minute is taken for complete. */
  refreshDelayMs: number;
}

/**
 * Brings the jobs that refresh rollups and derive service edges, and their columnstore policies, to the settings; on plain PostgreSQL, where
 * rollups are views, there is nothing to do. Harmless to repeat.
 * @throws the driver's error where the database is away or a lock was not to be had
 */
export async function maintainRollups(
  database: Database,
  { lateAfterMs, refreshIntervalMs, refreshDelayMs }: RollupSettings,
): Promise<void> {
  await database`
    SELECT timespan.maintain_rollups(
      ${interval(lateAfterMs)}::interval,
      ${interval(refreshIntervalMs)}::interval,
      ${interval(refreshDelayMs)}::interval
    )`;
  await database`SELECT timespan.maintain_service_edges(${interval(refreshIntervalMs)}::interval)`;
}
