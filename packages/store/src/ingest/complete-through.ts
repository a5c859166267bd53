import type { Database } from "../database.ts";
import type { Fragment } from "../query/filters.ts";

/**
 * An expression: what reached Kafka before this time is stored, in microseconds since the Unix epoch; null where no
 * stream-processor has reported yet. It looks every five seconds, so what it finds waiting may have come as much
 * earlier. A partition that nobody has looked at for ten minutes, while others were, is taken for gone.
 */
export function completeThroughUs(sql: Database): Fragment {
  return sql`(
    SELECT (extract(epoch FROM min(coalesce(behind_since - INTERVAL '5 seconds', observed_at))) * 1000000)::double precision
    FROM timespan.ingest_offsets
    WHERE observed_at > (SELECT max(observed_at) - INTERVAL '10 minutes' FROM timespan.ingest_offsets)
  )`;
}
