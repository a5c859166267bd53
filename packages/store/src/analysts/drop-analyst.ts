import type { Database } from "../database.ts";
import { ANALYST_NAME } from "./create-analyst.ts";

const SESSION_END_TIMEOUT_MS = 5_000;

/**
 * Drops the login of an analyst, and ends its sessions.
 * @returns false where this database has no such analyst; other roles are not touched
 * @throws the driver's error where the database is away, or the role owns something
 */
export async function dropAnalyst(database: Database, name: string): Promise<boolean> {
  if (!ANALYST_NAME.test(name)) return false;
  const roleId = await database.begin(async (transaction) => {
    const [deleted] = await transaction<{ role_id: string }[]>`
      DELETE FROM timespan.analyst_access USING pg_roles
      WHERE role_name = ${name} AND rolname = role_name
      RETURNING pg_roles.oid::text AS role_id`;
    // What was granted to it by hand would keep it.
    if (deleted !== undefined) await transaction.unsafe(`DROP OWNED BY ${name}; DROP ROLE ${name}`);
    return deleted?.role_id;
  });
  if (roleId === undefined) return false;
  // Afterwards, so that it cannot connect again in between; by its id, as its name is gone.
  await database`
    SELECT pg_terminate_backend(pid, ${SESSION_END_TIMEOUT_MS}::bigint) FROM pg_stat_activity
    WHERE usesysid = ${roleId}::oid`;
  return true;
}
