import type { Database } from "../database.ts";

/** Rows of each kind moved in one transaction. */
const MOVE_ROWS_MAX = 50_000;
/** A week in parts of ten minutes, so that one row in each is moved at once. */
const TRANSACTIONS_MAX = 1_008;

export interface LateRowsMoved {
  movedCount: number;
  /** Rows that grew older than retention while they waited, and were deleted. */
  expiredCount: number;
}

/**
 * Moves late rows to where they belong, oldest first, ten minutes a transaction, until none is left or
 * `transactionsMax` were made. Another process that is at it makes this one do nothing.
 * @throws the driver's error where the database is away
 */
export async function moveLateRows(
  database: Database,
  transactionsMax = TRANSACTIONS_MAX,
): Promise<LateRowsMoved> {
  const total = { movedCount: 0, expiredCount: 0 };
  for (let transaction = 0; transaction < transactionsMax; transaction++) {
    const [step] = await database<{ moved_count: string; expired_count: string }[]>`
      SELECT moved_count, expired_count
      FROM timespan.move_late_rows(${MOVE_ROWS_MAX})`;
    total.movedCount += Number(step?.moved_count ?? 0);
    total.expiredCount += Number(step?.expired_count ?? 0);
    if (Number(step?.moved_count ?? 0) === 0) break;
  }
  return total;
}
