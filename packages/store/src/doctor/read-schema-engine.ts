import type { Database } from "../database.ts";
import type { Engine } from "../migrate.ts";

/**
 * What the schema was made for, whatever the server offers now.
 * @throws the driver's error where the database is away or was never migrated
 */
export async function readSchemaEngine(database: Database): Promise<Engine> {
  const [row] = await database<{ engine: Engine }[]>`
SELECT CASE
  WHEN EXISTS (SELECT FROM timespan.schema_migrations WHERE name LIKE '%\\_make-signal-tables-hypertables')
  THEN 'timescaledb'
  ELSE 'postgres'
END AS engine`;
  if (row === undefined) throw new Error("a SELECT without FROM gives one row");
  return row.engine;
}
