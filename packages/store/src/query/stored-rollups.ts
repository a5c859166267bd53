import type { Database } from "../database.ts";

/**
 * Whether the rollups are stored: on TimescaleDB. On plain PostgreSQL they are views that would group all raw rows
 * whatever the window, so there raw spans are the better source of the same numbers.
 * @throws the driver's error where the database is away or was never migrated
 */
export async function rollupsAreStored(database: Database): Promise<boolean> {
  const [row] = await database<{ stored: boolean }[]>`
SELECT EXISTS (
  SELECT FROM timespan.schema_migrations WHERE name LIKE '%\\_make-signal-tables-hypertables'
) AS stored`;
  return row?.stored ?? false;
}
