import type { Database } from "../database.ts";

/** More than this many are not counted: it is enough to know that there are too many. */
export const LATE_ROWS_COUNTED_MAX = 1_000_000;

/**
 * Rows that wait to be moved to where they belong, {@link LATE_ROWS_COUNTED_MAX} of each kind at most.
 * @throws the driver's error where the database is away
 */
export async function countLateRows(database: Database): Promise<{ spans: number; logs: number }> {
  const [row] = await database<{ spans: number; logs: number }[]>`
SELECT
  (SELECT count(*)::integer FROM (SELECT FROM timespan.late_spans LIMIT ${LATE_ROWS_COUNTED_MAX}) AS s) AS spans,
  (SELECT count(*)::integer FROM (SELECT FROM timespan.late_log_records LIMIT ${LATE_ROWS_COUNTED_MAX}) AS l) AS logs`;
  if (row === undefined) throw new Error("a SELECT without FROM gives one row");
  return row;
}
