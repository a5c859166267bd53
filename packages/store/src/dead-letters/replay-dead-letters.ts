import type { Database } from "../database.ts";
import { where } from "../query/filters.ts";
import { type DeadLetterFilter, replayableConditions } from "./dead-letter-filter.ts";

/** A dead letter on its way back to its topic. */
export interface ReplayableLetter {
  id: number;
  /** ISO 8601 in UTC. */
  received_at: string;
  topic: string;
  partition: number;
  source_offset: number;
  source_index: number;
  reason: string;
  payload: Uint8Array;
}

/** Limits of what is held at once; one payload may be larger than the bytes. */
export const REPLAY_PAGE_LETTERS = 500;
export const REPLAY_PAGE_BYTES = 8 * 1024 * 1024;

/** Longer than Kafka may take to acknowledge a page; the rows are locked for as long. */
const SEND_TIMEOUT = "5min";

export interface ReplayedPage {
  /** Where the next page begins. */
  lastId: number;
  letters: readonly ReplayableLetter[];
  sentIds: ReadonlySet<number>;
}

/**
 * Hands the next page of dead letters to `send`, oldest first, and marks those that it says were acknowledged. They
 * are locked meanwhile: a second replay passes over them. Marked after they are sent, so that a crash in between can
 * replay a letter twice, and never lose one.
 * @param ids of the letters to look at: after the first, up to the second
 * @param send returns the ids of what Kafka has; what it throws undoes nothing but the marks
 * @returns undefined where there is none left
 * @throws the driver's error where the database is away
 */
export async function replayDeadLetters(
  database: Database,
  filter: DeadLetterFilter,
  ids: { after: number; through: number },
  send: (letters: readonly ReplayableLetter[]) => Promise<ReadonlySet<number>>,
): Promise<ReplayedPage | undefined> {
  return database.begin(async (transaction) => {
    await transaction`SELECT set_config('idle_in_transaction_session_timeout', ${SEND_TIMEOUT}, true)`;
    // The sizes are summed before any payload is read: a page of large ones must not be held at once.
    const letters = await transaction<ReplayableLetter[]>`
WITH candidate AS MATERIALIZED (
  SELECT dead_letter_id, octet_length(payload) AS bytes
  FROM timespan.dead_letters
  ${where(database, replayableConditions(database, filter), [
    database`dead_letter_id > ${ids.after}`,
    database`dead_letter_id <= ${ids.through}`,
  ])}
  ORDER BY dead_letter_id
  LIMIT ${REPLAY_PAGE_LETTERS}
  FOR UPDATE SKIP LOCKED
), sized AS (
  SELECT dead_letter_id, sum(bytes) OVER (ORDER BY dead_letter_id) - bytes AS bytes_before
  FROM candidate
)
SELECT
  dead_letter_id::double precision AS id,
  to_char(received_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS received_at,
  topic,
  partition,
  source_offset::double precision AS source_offset,
  source_index,
  reason,
  payload
FROM sized
JOIN timespan.dead_letters USING (dead_letter_id)
WHERE bytes_before < ${REPLAY_PAGE_BYTES}
ORDER BY dead_letter_id`;
    const last = letters.at(-1);
    if (last === undefined) return undefined;
    const sentIds = await send(letters);
    if (sentIds.size > 0) {
      await transaction`
UPDATE timespan.dead_letters
SET replayed_at = clock_timestamp(), discarded_at = NULL
WHERE dead_letter_id = ANY(${[...sentIds]}::bigint[])`;
    }
    return { lastId: last.id, letters, sentIds };
  });
}
