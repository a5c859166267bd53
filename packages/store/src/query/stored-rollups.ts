import type { Database } from "../database.ts";
import type { RollupGrain, RollupLevel, RollupWatermarks } from "./request-segments.ts";

/**
 * Up to when rollups are stored. What was read a while ago still holds, as watermarks only grow. On plain PostgreSQL
 * rollups are views that would group all raw rows whatever the window: nothing is stored, and raw spans are asked.
 * @throws the driver's error where the database is away or was never migrated
 */
export async function readRollupWatermarks(database: Database): Promise<RollupWatermarks> {
  const rows = await database<{ grain: RollupGrain; level: RollupLevel; stored_until_us: number }[]>`
SELECT split_part(rollup, '_', 1) AS grain, substring(rollup FROM '[^_]+$') AS level,
  (extract(epoch FROM min(stored_until)) * 1000000)::double precision AS stored_until_us
FROM timespan.rollup_watermarks()
WHERE rollup ~ '^(service|endpoint)_(red|latency_bins)_'
GROUP BY 1, 2`;
  const watermarks: RollupWatermarks = { service: {}, endpoint: {} };
  for (const { grain, level, stored_until_us } of rows) watermarks[grain][level] = stored_until_us;
  return watermarks;
}
