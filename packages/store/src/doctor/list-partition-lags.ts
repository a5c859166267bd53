import type { Database } from "../database.ts";

/** How far a partition of Kafka is stored; times in seconds before now. */
export interface PartitionLag {
  topic: string;
  partition: number;
  /** Records that waited when the stream-processor last looked. */
  recordsBehind: number;
  /** Null where nothing waits. */
  behindSeconds: number | null;
  /** Null where nobody ever looked. */
  observedSecondsAgo: number | null;
}

/** @throws the driver's error where the database is away */
export async function listPartitionLags(database: Database): Promise<PartitionLag[]> {
  const rows = await database<PartitionLag[]>`
SELECT
  topic,
  partition,
  GREATEST(0, COALESCE(high_watermark - next_offset, 0))::double precision AS "recordsBehind",
  extract(epoch FROM now() - behind_since)::double precision AS "behindSeconds",
  extract(epoch FROM now() - observed_at)::double precision AS "observedSecondsAgo"
FROM timespan.ingest_offsets
ORDER BY behind_since NULLS LAST, topic, partition`;
  return [...rows];
}
