import type { Access } from "@timespan/telemetry/access";
import type { Database } from "../database.ts";

export interface AnalystItem extends Access {
  name: string;
  /** Open connections of the login to any database. */
  connection_count: number;
  created_at: string;
}

/**
 * The analysts of this database by name.
 * @throws the driver's error where the database is away
 */
export async function listAnalysts(database: Database): Promise<AnalystItem[]> {
  const rows = await database<AnalystItem[]>`
SELECT
  role_name::text AS name,
  environments,
  services,
  (SELECT count(*) FROM pg_stat_activity WHERE usename = role_name)::integer AS connection_count,
  to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS created_at
FROM timespan.analyst_access
WHERE role_name IN (SELECT rolname FROM pg_roles)
ORDER BY role_name`;
  return [...rows];
}
