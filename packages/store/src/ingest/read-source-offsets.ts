import type { Database } from "../database.ts";

/**
 * How far each source of events is stored: the first offset of it that is not.
 * @throws the driver's error where the database is away
 */
export async function readSourceOffsets(database: Database): Promise<Map<number, number>> {
  const rows = await database<{ sourceId: number; nextOffset: string }[]>`
SELECT source_id AS "sourceId", next_offset AS "nextOffset"
FROM timespan.ingest_offsets`;
  return new Map(rows.map(({ sourceId, nextOffset }) => [sourceId, Number(nextOffset)]));
}
