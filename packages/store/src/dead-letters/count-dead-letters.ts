import type { Database } from "../database.ts";
import { type Fragment, where } from "../query/filters.ts";
import { type DeadLetterFilter, deadLetterConditions, replayableConditions } from "./dead-letter-filter.ts";

/** Dead letters of one topic and reason. */
export interface DeadLetterCount {
  topic: string;
  reason: string;
  count: number;
  /** Of their payloads. */
  bytes: number;
  /** The newest of them. */
  last_id: number;
}

/**
 * How many dead letters match, the most frequent kind first.
 * @throws the driver's error where the database is away
 */
export function countDeadLetters(database: Database, filter: DeadLetterFilter): Promise<DeadLetterCount[]> {
  return count(database, deadLetterConditions(database, filter));
}

/** As {@link countDeadLetters}, of those that a replay would take. */
export function countReplayable(database: Database, filter: DeadLetterFilter): Promise<DeadLetterCount[]> {
  return count(database, replayableConditions(database, filter));
}

async function count(database: Database, conditions: Fragment[]): Promise<DeadLetterCount[]> {
  const rows = await database<DeadLetterCount[]>`
SELECT
  topic,
  reason,
  count(*)::double precision AS count,
  COALESCE(sum(octet_length(payload)), 0)::double precision AS bytes,
  max(dead_letter_id)::double precision AS last_id
FROM timespan.dead_letters
${where(database, conditions)}
GROUP BY topic, reason
ORDER BY count DESC, topic, reason`;
  return [...rows];
}
