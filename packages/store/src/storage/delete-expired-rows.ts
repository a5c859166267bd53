import type { Database } from "../database.ts";

/** Rows deleted in one transaction, where they cannot go as whole batches of the columnstore. */
const DELETE_ROWS_MAX = 50_000;

/**
 * Deletes the rows of environments that have a retention of their own, one chunk or less a transaction, until none is
 * left or `transactionsMax` were made; the next call goes on. Retention of whole chunks is the policies' work.
 * Another process that is at it makes this one do nothing.
 * @returns how many rows were deleted
 * @throws the driver's error where the database is away
 */
export async function deleteExpiredRows(database: Database, transactionsMax = 100): Promise<number> {
  let total = 0;
  for (let transaction = 0; transaction < transactionsMax; transaction++) {
    const [step] = await database<{ deleted: string | null }[]>`
      SELECT timespan.delete_expired_rows(${DELETE_ROWS_MAX}) AS deleted`;
    if (step === undefined || step.deleted === null) break;
    total += Number(step.deleted);
  }
  return total;
}
