import type { RetentionItem } from "@timespan/telemetry/api/retention-answer";
import type { Database } from "../database.ts";

/**
 * What is kept for how long, and what of it is there.
 * @throws the driver's error where the database is away or the statement ran into its limit
 */
export async function readRetention(database: Database): Promise<RetentionItem[]> {
  return await database<RetentionItem[]>`
SELECT
  signal,
  relation,
  environment,
  extract(epoch FROM retention)::double precision AS retention_seconds,
  to_char(oldest_time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS oldest_time,
  size_bytes::double precision AS size_bytes,
  to_char(next_drop_time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS next_drop_time
FROM apm.retention_status
ORDER BY signal, relation, environment NULLS FIRST`;
}
