import type { Database } from "../database.ts";
import { where } from "../query/filters.ts";
import { type DeadLetterFilter, deadLetterConditions } from "./dead-letter-filter.ts";

const DISCARD_PAGE_LETTERS = 5_000;

/**
 * Marks the next page of matching dead letters that wait as discarded, oldest first. Those that are just being
 * replayed are passed over.
 * @param ids of the letters to look at: after the first, up to the second
 * @returns undefined where there is none left
 * @throws the driver's error where the database is away
 */
export async function discardDeadLetters(
  database: Database,
  filter: DeadLetterFilter,
  ids: { after: number; through: number },
): Promise<{ count: number; lastId: number } | undefined> {
  const [row] = await database<{ count: number; last_id: number | null }[]>`
WITH discarded AS (
  UPDATE timespan.dead_letters
  SET discarded_at = now()
  WHERE dead_letter_id IN (
    SELECT dead_letter_id
    FROM timespan.dead_letters
    ${where(database, deadLetterConditions(database, { ...filter, state: "waiting" }), [
      database`dead_letter_id > ${ids.after}`,
      database`dead_letter_id <= ${ids.through}`,
    ])}
    ORDER BY dead_letter_id
    LIMIT ${DISCARD_PAGE_LETTERS}
    FOR UPDATE SKIP LOCKED
  )
  RETURNING dead_letter_id
)
SELECT count(*)::integer AS count, max(dead_letter_id)::double precision AS last_id
FROM discarded`;
  return row === undefined || row.last_id === null ? undefined : { count: row.count, lastId: row.last_id };
}
