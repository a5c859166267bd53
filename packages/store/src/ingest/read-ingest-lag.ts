import type { Database } from "../database.ts";

/** How far the store is behind Kafka, as the stream-processor last saw it. */
export interface IngestLag {
  /** Partitions that were ever read; 0 before the first. */
  partitionCount: number;
  /** Records that were waiting when the stream-processor last looked. */
  recordsBehind: number;
  /** Longest time that a partition has been behind the end it was last seen to have, in seconds; 0 where none is. */
  lagSeconds: number;
  /** Time since any stream-processor last looked, in seconds; null where none ever did. */
  observedSecondsAgo: number | null;
}

/** @throws the driver's error where the database is away */
export async function readIngestLag(database: Database): Promise<IngestLag> {
  const [row] = await database<IngestLag[]>`
SELECT
  count(*)::integer AS "partitionCount",
  COALESCE(sum(high_watermark - next_offset) FILTER (WHERE next_offset < high_watermark), 0)::double precision
    AS "recordsBehind",
  COALESCE(max(extract(epoch FROM now() - behind_since)), 0)::double precision AS "lagSeconds",
  extract(epoch FROM now() - max(observed_at))::double precision AS "observedSecondsAgo"
FROM timespan.ingest_offsets`;
  if (row === undefined) throw new Error("an aggregate without GROUP BY gives one row");
  return row;
}
