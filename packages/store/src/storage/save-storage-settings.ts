import type { Database } from "../database.ts";

/** How long rows of one environment are kept, where that is less than those of the others. */
export interface EnvironmentRetention {
  signal: "spans" | "logs";
  /** In lower case, with `_` for all that is neither letter nor digit: `load_test` is Load-Test too. */
  environmentKey: string;
  retentionMs: number;
}

/** How long things are kept, and how much time one chunk of a hypertable covers; all in milliseconds. */
export interface StorageSettings {
  retentionSpansMs: number;
  retentionLogsMs: number;
  /** Of rollups by the minute and by the hour. Plain PostgreSQL computes them from the rows, and keeps none. */
  retentionRollup1mMs: number;
  retentionRollup1hMs: number;
  retentionDeadLettersMs: number;
  retentionByEnvironment: readonly EnvironmentRetention[];
  chunkIntervalMs: number;
}

/**
 * Saves the settings in the database, where everything that applies them reads them: `maintainStorage`,
 * `moveLateRows`, `deleteExpiredRows` and the view of retention. What was set before and is not any more is forgotten.
 * @throws the driver's error where the database is away
 */
export async function saveStorageSettings(database: Database, settings: StorageSettings): Promise<void> {
  const rows: [name: string, environment: string | null, lengthMs: number][] = [
    ["retention_spans", null, settings.retentionSpansMs],
    ["retention_logs", null, settings.retentionLogsMs],
    ["retention_rollup_1m", null, settings.retentionRollup1mMs],
    ["retention_rollup_1h", null, settings.retentionRollup1hMs],
    ["retention_dead_letters", null, settings.retentionDeadLettersMs],
    ["chunk_interval", null, settings.chunkIntervalMs],
    ...settings.retentionByEnvironment.map(
      ({ signal, environmentKey, retentionMs }): [string, string, number] => [
        `retention_${signal}`,
        environmentKey,
        retentionMs,
      ],
    ),
  ];
  // One statement: nobody ever sees a database without its settings.
  await database`
WITH given AS (
  SELECT name, environment, length
  FROM unnest(
    ${rows.map(([name]) => name)}::text[],
    ${rows.map(([, environment]) => environment)}::text[],
    ${rows.map(([, , lengthMs]) => interval(lengthMs))}::interval[]
  ) AS given (name, environment, length)
), forgotten AS (
  DELETE FROM timespan.storage_settings AS stored
  WHERE NOT EXISTS (
    SELECT FROM given
    WHERE given.name = stored.name AND given.environment IS NOT DISTINCT FROM stored.environment
  )
)
INSERT INTO timespan.storage_settings (name, environment, length)
SELECT name, environment, length FROM given ORDER BY name, environment
ON CONFLICT (name, environment) DO UPDATE SET length = EXCLUDED.length`;
}

/** An interval as PostgreSQL reads it. Days and seconds, not months: a policy's interval must have one length. */
export function interval(ms: number): string {
  const days = Math.floor(ms / 86_400_000);
  return `${days} days ${(ms - days * 86_400_000) / 1_000} seconds`;
}
