import type { Database } from "../database.ts";

/** How long rows are kept, and how much time one chunk of a hypertable covers; all in milliseconds. */
export interface StorageSettings {
  retentionSpansMs: number;
  retentionLogsMs: number;
  retentionDeadLettersMs: number;
  chunkIntervalMs: number;
}

/**
 * Brings the storage to its settings: policies and chunk interval on TimescaleDB, daily partitions on plain
 * PostgreSQL. Harmless to repeat.
 * @throws the driver's error where the database is away or a lock was not to be had
 */
export async function maintainStorage(database: Database, settings: StorageSettings): Promise<void> {
  await database`
    SELECT timespan.maintain_storage(
      ${interval(settings.retentionSpansMs)}::interval,
      ${interval(settings.retentionLogsMs)}::interval,
      ${interval(settings.retentionDeadLettersMs)}::interval,
      ${interval(settings.chunkIntervalMs)}::interval
    )`;
}

/** An interval as PostgreSQL reads it. Days and seconds, not months: a policy's interval must have one length. */
export function interval(ms: number): string {
  const days = Math.floor(ms / 86_400_000);
  return `${days} days ${(ms - days * 86_400_000) / 1_000} seconds`;
}
