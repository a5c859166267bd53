import type { Database } from "./database.ts";

/** The newest migration of each folder that this build was made for. A test holds them equal to the files. */
export const NEWEST_MIGRATIONS = {
  common: "20261121153950000_publish-service-map",
  timescaledb: "20261121153550000_report-retention",
  postgres: "20261121153550000_report-retention",
} as const;

export interface SchemaVersion {
  /** Whether every migration that this build needs was applied; newer ones do not matter. */
  current: boolean;
  /** The newest migrations that are missing, by name. */
  missing: string[];
}

/**
 * Which of the migrations that this build needs were applied. They run in order, so the newest stands for all.
 * @throws the driver's error where the database is away or was never migrated
 */
export async function readSchemaVersion(database: Database): Promise<SchemaVersion> {
  const rows = await database<{ name: string }[]>`
SELECT name FROM timespan.schema_migrations
WHERE name = ANY(${Object.values(NEWEST_MIGRATIONS)}::text[])`;
  const applied = new Set(rows.map(({ name }) => name));
  const { common, timescaledb, postgres } = NEWEST_MIGRATIONS;
  const missing = [
    ...(applied.has(common) ? [] : [common]),
    // A database has the migrations of one engine, whichever it is.
    ...(applied.has(timescaledb) || applied.has(postgres)
      ? []
      : [[...new Set([timescaledb, postgres])].join(" or ")]),
  ];
  return { current: missing.length === 0, missing };
}
