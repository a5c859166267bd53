import { patternsOfText } from "@timespan/telemetry/log-pattern";
import type { TimeRange } from "@timespan/telemetry/time-range";
import type { Database } from "../database.ts";
import { escapeLike } from "../query/parameters.ts";

/** The logs of a shorter window are read sooner than all patterns. */
const WINDOW_US_MIN = 3_600_000_000;
/** Each is looked for in every batch of the columnstore: many rule out little and cost more. */
const PATTERNS_MAX = 200;

/**
 * The ids of all patterns whose logs may contain `text`: those of others do not. The columnstore knows which batches
 * hold a pattern, so that a rare text is not looked for in every body. `undefined` where that says too little.
 * @throws the driver's error where the database is away or the statement ran into its limit
 */
export async function patternsOfMessage(
  database: Database,
  text: string,
  { fromUs, toUs }: TimeRange,
): Promise<string[] | undefined> {
  if (fromUs !== null && toUs !== null && toUs - fromUs < WINDOW_US_MIN) return undefined;
  const parts = patternsOfText(text);
  if (parts === undefined) return undefined;
  const rows = await database<{ pattern_id: string }[]>`
SELECT pattern_id::text
FROM timespan.log_patterns
WHERE pattern LIKE ANY (${parts.map((part) => `%${escapeLike(part)}%`)}::text[])
LIMIT ${PATTERNS_MAX + 1}`;
  return rows.length > PATTERNS_MAX ? undefined : rows.map(({ pattern_id }) => pattern_id);
}
