import type { Database } from "../database.ts";

export interface MissingDay {
  table: string;
  /** As 2026-11-21, in UTC. */
  day: string;
  /** 0 is today. */
  daysAhead: number;
}

/**
 * Daily partitions of plain PostgreSQL that accepted rows need, today and two days ahead, and that are not there.
 * @throws the driver's error where the database is away
 */
export async function listMissingDays(database: Database): Promise<MissingDay[]> {
  const rows = await database<MissingDay[]>`
SELECT
  signal.name AS "table",
  to_char(day.start, 'YYYY-MM-DD') AS day,
  day.ahead AS "daysAhead"
FROM unnest(ARRAY['spans', 'log_records', 'trace_locator']) AS signal (name)
CROSS JOIN (
  SELECT ahead, (now() AT TIME ZONE 'UTC')::date + ahead AS start FROM generate_series(0, 2) AS ahead
) AS day
WHERE to_regclass(format('timespan.%I', signal.name || to_char(day.start, '_YYYYMMDD'))) IS NULL
ORDER BY day.ahead, signal.name`;
  return [...rows];
}
