import type { Database } from "../database.ts";

/** How far a continuous aggregate is behind what its refresh should have reached. */
export interface RollupLag {
  rollup: string;
  /** 0 where nothing is missing. Rows that are missing are computed when asked, which is right, and slow. */
  behindSeconds: number;
}

/** Minutes of service edges that are counted: beyond a week nothing more is learnt. */
const STALE_MINUTES_MAX = 10_080;
/** As `maintain_service_edges` sets it. */
const MINUTES_OF_A_RUN = 240;

/**
 * A rollup should reach the bucket of `delay` before now (`hour_delay` for hours), or that of the newest row where
 * nothing came since. One that was never refreshed is behind since the oldest row.
 * @returns nothing while no job refreshes them: see `listJobs`
 * @throws the driver's error where the database is away or has no TimescaleDB
 */
export async function listRollupLags(database: Database): Promise<RollupLag[]> {
  const rows = await database<RollupLag[]>`
WITH refresh AS (
  SELECT (config ->> 'delay')::interval AS delay, (config ->> 'hour_delay')::interval AS hour_delay
  FROM timescaledb_information.jobs
  WHERE proc_schema = 'timespan' AND proc_name = 'refresh_rollups'
), signal AS (
  SELECT 'spans' AS name, min(start_time) AS oldest, max(start_time) AS newest FROM timespan.spans
  UNION ALL
  SELECT 'logs', min(time), max(time) FROM timespan.log_records
), aggregate AS (
  SELECT
    rollup,
    stored_until,
    CASE WHEN rollup LIKE 'log\\_%' THEN 'logs' ELSE 'spans' END AS signal,
    CASE
      WHEN rollup LIKE '%\\_1h' THEN INTERVAL '1 hour'
      WHEN rollup LIKE '%\\_10m' THEN INTERVAL '10 minutes'
      ELSE INTERVAL '1 minute'
    END AS width
  FROM timespan.rollup_watermarks()
)
SELECT
  aggregate.rollup,
  COALESCE(
    GREATEST(0, extract(epoch FROM
      public.time_bucket(
        aggregate.width,
        -- LEAST passes over a null; a signal without rows is behind nothing.
        CASE
          WHEN signal.newest IS NOT NULL THEN LEAST(
            signal.newest + aggregate.width,
            now() - CASE WHEN aggregate.width >= INTERVAL '1 hour' THEN refresh.hour_delay ELSE refresh.delay END
          )
        END
      ) - GREATEST(aggregate.stored_until, signal.oldest))),
    0
  )::double precision AS "behindSeconds"
FROM aggregate
JOIN signal ON signal.name = aggregate.signal
CROSS JOIN refresh
UNION ALL
-- Minutes that wait, whenever they were, as late spans make those of long ago wait; what one run takes is no lag.
SELECT 'service_edge_latency_bins_1m', GREATEST(0, count(*) - ${MINUTES_OF_A_RUN}) * 60
FROM timespan.stale_service_edge_minutes(${STALE_MINUTES_MAX}, INTERVAL '0')
HAVING EXISTS (SELECT FROM refresh)
ORDER BY 1`;
  return [...rows];
}
