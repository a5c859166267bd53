import type { Database } from "../database.ts";

export interface PartitionState {
  /** Short name of the partition in rows. */
  sourceId: number;
  /** The first offset that is not yet stored. */
  nextOffset: number;
}

/** What Kafka says of the partition: offsets `[low, high)` can be read. */
export interface PartitionRange {
  low: number;
  high: number;
}

export interface OpenedPartition extends PartitionState {
  /**
   * `continued`: reading goes on where the store is. `skipped`: Kafka no longer holds the records
   * `[previousOffset, nextOffset)`. `recreated`: the store was beyond the end of the partition, so the topic was made
   * anew; it is read from its beginning under a new source id.
   */
  how: "continued" | "skipped" | "recreated";
  previousOffset: number;
}

/**
 * Says where to read a partition from, after making its row if it is new. The store decides, not the offsets that
 * Kafka keeps for the group: only the store knows what is stored.
 * @throws the driver's error where the database is away
 */
export async function openPartition(
  database: Database,
  topic: string,
  partition: number,
  range: PartitionRange,
): Promise<OpenedPartition> {
  await database`
    INSERT INTO timespan.ingest_offsets (topic, partition, next_offset)
    SELECT ${topic}, ${partition}, ${range.low}
    WHERE NOT EXISTS (SELECT FROM timespan.ingest_offsets WHERE topic = ${topic} AND partition = ${partition})
    ON CONFLICT (topic, partition) DO NOTHING`;
  const stored = await readState(database, topic, partition);
  if (stored.nextOffset >= range.low && stored.nextOffset <= range.high) {
    return { ...stored, how: "continued", previousOffset: stored.nextOffset };
  }
  const recreated = stored.nextOffset > range.high;
  await database`
    UPDATE timespan.ingest_offsets
    SET next_offset = ${range.low},
        high_watermark = ${range.high},
        source_id = ${recreated ? database`DEFAULT` : database`source_id`}
    WHERE topic = ${topic} AND partition = ${partition} AND next_offset = ${stored.nextOffset}`;
  const moved = await readState(database, topic, partition);
  return { ...moved, how: recreated ? "recreated" : "skipped", previousOffset: stored.nextOffset };
}

async function readState(database: Database, topic: string, partition: number): Promise<PartitionState> {
  const [row] = await database<{ source_id: number; next_offset: string }[]>`
    SELECT source_id, next_offset
    FROM timespan.ingest_offsets
    WHERE topic = ${topic} AND partition = ${partition}`;
  if (row === undefined) throw new Error(`timespan.ingest_offsets lost its row for ${topic}/${partition}`);
  return { sourceId: row.source_id, nextOffset: Number(row.next_offset) };
}
