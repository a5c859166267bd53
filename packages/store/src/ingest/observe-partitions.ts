import type { Database } from "../database.ts";

export interface ObservedPartition {
  topic: string;
  partition: number;
  highWatermark: number;
}

/**
 * Notes how far each partition reaches, so that lag can be told from the database alone, and that somebody looked.
 * @throws the driver's error where the database is away
 */
export async function observePartitions(
  database: Database,
  partitions: readonly ObservedPartition[],
): Promise<void> {
  if (partitions.length === 0) return;
  await database`
    UPDATE timespan.ingest_offsets AS stored
    SET high_watermark = GREATEST(seen.high_watermark, stored.next_offset),
        observed_at = now(),
        behind_since = CASE
          WHEN seen.high_watermark > stored.next_offset THEN coalesce(stored.behind_since, now())
        END
    FROM unnest(
      ${partitions.map(({ topic }) => topic)}::text[],
      ${partitions.map(({ partition }) => partition)}::integer[],
      ${partitions.map(({ highWatermark }) => highWatermark)}::bigint[]
    ) AS seen (topic, partition, high_watermark)
    WHERE stored.topic = seen.topic AND stored.partition = seen.partition`;
}
