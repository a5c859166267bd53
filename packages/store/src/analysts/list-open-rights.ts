import type { Database } from "../database.ts";

/**
 * What everybody may do on this database and no analyst should, as the statements that take it away. The migration
 * does so where it can; a restore does not bring back what it did to the database itself.
 * @throws the driver's error where the database is away, or has no role of analysts
 */
export async function listOpenRights(database: Database): Promise<string[]> {
  const rows = await database<{ statement: string }[]>`
SELECT format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database()) AS statement
WHERE has_database_privilege('timespan_analyst', current_database(), 'TEMPORARY')
UNION ALL
SELECT format('REVOKE CREATE ON SCHEMA %I FROM PUBLIC', nspname)
FROM pg_namespace
WHERE nspname !~ '^pg_' AND has_schema_privilege('timespan_analyst', oid, 'CREATE')
UNION ALL
SELECT format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', oid::regprocedure)
FROM pg_proc
WHERE proname IN ('add_job', 'lo_creat', 'lo_create', 'lo_from_bytea') AND has_function_privilege('timespan_analyst', oid, 'EXECUTE')`;
  return rows.map(({ statement }) => statement);
}
