import type { Database } from "../database.ts";
import type { DeadLetterItem } from "./list-dead-letters.ts";

/** A dead letter with all that is known of it. Times are ISO 8601 in UTC. */
export interface DeadLetterRow extends DeadLetterItem {
  replayed_at: string | null;
  discarded_at: string | null;
  payload: Uint8Array | null;
}

/** @throws the driver's error where the database is away */
export async function findDeadLetter(database: Database, id: number): Promise<DeadLetterRow | undefined> {
  const [row] = await database<DeadLetterRow[]>`
SELECT
  dead_letter_id::double precision AS id,
  to_char(received_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS received_at,
  topic,
  partition,
  source_offset::double precision AS source_offset,
  source_index,
  reason,
  detail,
  octet_length(payload) AS payload_bytes,
  CASE WHEN replayed_at IS NOT NULL THEN 'replayed' WHEN discarded_at IS NOT NULL THEN 'discarded' ELSE 'waiting' END
    AS state,
  to_char(replayed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS replayed_at,
  to_char(discarded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS discarded_at,
  payload
FROM timespan.dead_letters
WHERE dead_letter_id = ${id}`;
  return row;
}
