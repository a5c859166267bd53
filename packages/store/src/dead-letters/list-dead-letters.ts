import type { Database } from "../database.ts";
import { given, where } from "../query/filters.ts";
import { type DeadLetterFilter, type DeadLetterState, deadLetterConditions } from "./dead-letter-filter.ts";

/** A dead letter without its payload. Times are ISO 8601 in UTC. */
export interface DeadLetterItem {
  id: number;
  received_at: string;
  topic: string;
  partition: number;
  source_offset: number;
  source_index: number;
  reason: string;
  detail: string;
  /** Null where no payload is kept. */
  payload_bytes: number | null;
  state: DeadLetterState;
}

/**
 * The dead letters that match, newest first, at most `size` of them with ids below `beforeId`.
 * @throws the driver's error where the database is away
 */
export async function listDeadLetters(
  database: Database,
  filter: DeadLetterFilter,
  page: { beforeId?: number | undefined; size: number },
): Promise<DeadLetterItem[]> {
  const rows = await database<DeadLetterItem[]>`
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
    AS state
FROM timespan.dead_letters
${where(
  database,
  deadLetterConditions(database, filter),
  given(page.beforeId, (id) => database`dead_letter_id < ${id}`),
)}
ORDER BY dead_letter_id DESC
LIMIT ${page.size}`;
  return [...rows];
}
