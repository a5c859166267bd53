import type { Database } from "../database.ts";

/** What the server is, and what it offers to this database. */
export interface ServerDescription {
  /** Such as "17.11". */
  version: string;
  major: number;
  /** Of the extension in this database; null where there is none. */
  timescaledbVersion: string | null;
  /** Of the extension's files on the server; null where there are none. */
  timescaledbAvailable: string | null;
  /** `timescale` (Community) or `apache`; null where the module is not loaded. */
  timescaledbLicense: string | null;
  /** A restore was begun and not ended: no job runs. */
  restoring: boolean;
  /** Null for a user who may not know. */
  dataDirectory: string | null;
  /** Where it listens, as it knows itself. */
  port: number;
  /** Seconds since the Unix epoch. */
  startedAtSeconds: number;
}

/** @throws the driver's error where the database is away */
export async function describeServer(database: Database): Promise<ServerDescription> {
  const [row] = await database<ServerDescription[]>`
SELECT
  current_setting('server_version') AS version,
  current_setting('server_version_num')::integer / 10000 AS major,
  (SELECT extversion FROM pg_extension WHERE extname = 'timescaledb') AS "timescaledbVersion",
  (SELECT default_version FROM pg_available_extensions WHERE name = 'timescaledb') AS "timescaledbAvailable",
  current_setting('timescaledb.license', true) AS "timescaledbLicense",
  COALESCE(current_setting('timescaledb.restoring', true), 'off') = 'on' AS restoring,
  CASE
    WHEN pg_has_role(current_user, 'pg_read_all_settings', 'USAGE') THEN current_setting('data_directory')
  END AS "dataDirectory",
  current_setting('port')::integer AS port,
  extract(epoch FROM pg_postmaster_start_time())::double precision AS "startedAtSeconds"`;
  if (row === undefined) throw new Error("a SELECT without FROM gives one row");
  return row;
}
