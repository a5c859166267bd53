import { existsSync } from "node:fs";
import { join } from "node:path";
import { runner } from "node-pg-migrate";
import { Client } from "pg";

/**
 * `timescaledb`: TimescaleDB Community, with columnstore and policies. `postgres`: everything else, also a server
 * with only the Apache-licensed part of TimescaleDB, which has neither.
 */
export type Engine = "timescaledb" | "postgres";

export const MIGRATIONS_SCHEMA = "timespan";
export const MIGRATIONS_TABLE = "schema_migrations";

export interface MigrateOptions {
  /** Of a user that may create roles, schemas and, for TimescaleDB, the extension. */
  databaseUrl: string;
  /** Folder that holds `common`, `timescaledb` and `postgres`; found beside the code when absent. */
  migrationsDir?: string;
  log?: (line: string) => void;
}

/**
 * Brings the schema up to date for what the database really offers, and says what was applied. Safe to run again
 * and by several processes at once: one works, the others wait.
 * @throws {Error} of the driver where the database is away, or of the migration that failed; a failed one leaves
 *   nothing behind
 */
export async function migrate(options: MigrateOptions): Promise<{ engine: Engine; applied: string[] }> {
  const client = new Client({ connectionString: options.databaseUrl, application_name: "timespan-migrate" });
  await client.connect();
  try {
    const engine = await prepareEngine(client);
    const dir = options.migrationsDir ?? findMigrationsDir();
    const log = options.log ?? (() => {});
    const applied = await runner({
      dbClient: client,
      direction: "up",
      dir: ["common", engine].map((folder) => `${escapeGlob(join(dir, folder))}/*.sql`),
      useGlob: true,
      schema: MIGRATIONS_SCHEMA,
      createSchema: true,
      migrationsSchema: MIGRATIONS_SCHEMA,
      migrationsTable: MIGRATIONS_TABLE,
      // A migration of the other engine must not count as "missing on disk".
      checkOrder: false,
      singleTransaction: true,
      advisoryLockMode: "wait",
      logger: { debug: () => {}, info: () => {}, warn: log, error: log },
    });
    return { engine, applied: applied.map(({ name }) => name) };
  } finally {
    await client.end();
  }
}

/** Creates the extension where the server carries it, and says which engine the database then is. */
async function prepareEngine(client: Client): Promise<Engine> {
  const { rows } = await client.query<{ loaded: boolean; available: boolean }>(`
    SELECT
      current_setting('shared_preload_libraries') ~ '\\mtimescaledb\\M' AS loaded,
      EXISTS (SELECT FROM pg_available_extensions WHERE name = 'timescaledb') AS available`);
  if (!rows[0]?.loaded || !rows[0].available) return "postgres";
  await client.query("CREATE EXTENSION IF NOT EXISTS timescaledb WITH SCHEMA public");
  const license = await client.query<{ license: string }>(
    "SELECT current_setting('timescaledb.license') AS license",
  );
  return license.rows[0]?.license === "timescale" ? "timescaledb" : "postgres";
}

/** From the sources the folder is at the repository's root; a built image has it beside the bundle. */
function findMigrationsDir(): string {
  const candidates = [join(import.meta.dir, "../../../migrations"), join(import.meta.dir, "migrations")];
  const found = candidates.find((candidate) => existsSync(join(candidate, "common")));
  if (found === undefined) throw new Error(`no migrations found in ${candidates.join(" or ")}`);
  return found;
}

function escapeGlob(path: string): string {
  return path.replace(/[[\]{}()*?!+@]/g, "[$&]");
}
