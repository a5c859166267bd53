import type { Database } from "../database.ts";

export interface RoleState {
  name: string;
  /** Whether the server has it. */
  present: boolean;
  /** Whether the user who asks may act as it, which is how the apps take theirs. */
  usable: boolean;
}

/**
 * The roles of the first migration. They belong to the server, so a restored database can lack them.
 * @throws the driver's error where the database is away
 */
export async function listRoles(database: Database): Promise<RoleState[]> {
  const rows = await database<RoleState[]>`
SELECT
  wanted.name,
  role.oid IS NOT NULL AS present,
  COALESCE(pg_has_role(current_user, role.oid, 'MEMBER'), false) AS usable
FROM unnest(ARRAY['timespan_owner', 'timespan_writer', 'timespan_reader', 'timespan_analyst'])
  WITH ORDINALITY AS wanted (name, position)
LEFT JOIN pg_roles AS role ON role.rolname = wanted.name
ORDER BY wanted.position`;
  return [...rows];
}
