import { randomBytes } from "node:crypto";
import type { Access } from "@timespan/telemetry/access";
import type { Database } from "../database.ts";
import { sqlState } from "../database-error.ts";
import { listOpenRights } from "./list-open-rights.ts";
import { scramVerifier } from "./scram-verifier.ts";

/** What each analyst's login begins with. Of these the server enforces the connections and the temporary files. */
export const ANALYST_LIMITS = {
  connections: 5,
  statementTimeout: "30s",
  idleInTransactionTimeout: "60s",
  workMem: "32MB",
  tempFiles: "2GB",
} as const;

/** Enough for a role's name, and nothing in it that would have to be quoted. */
export const ANALYST_NAME = /^[a-z][a-z0-9_]{0,62}$/;

export interface NewAnalyst {
  name: string;
  access: Access;
}

export interface CreatedAnalyst {
  /** The only copy there will ever be. */
  password: string;
  /** What this user was not allowed to set, as statements for one who is. */
  leftToDo: readonly string[];
}

/**
 * Makes a login that may read schema `apm`, and of its rows those of `access`.
 * @param database of a user that may create roles
 * @param name that {@link ANALYST_NAME} matches
 * @returns undefined where there is a role of that name already
 * @throws the driver's error where the database is away or the user may not
 */
export async function createAnalyst(
  database: Database,
  { name, access }: NewAnalyst,
): Promise<CreatedAnalyst | undefined> {
  if (!ANALYST_NAME.test(name)) throw new Error(`${name} is no name for an analyst`);
  const password = randomBytes(24).toString("base64url");
  const limits = ANALYST_LIMITS;
  try {
    await database.begin(async (transaction) => {
      // Statements of this kind take no parameters; the name was checked, and the verifier has no quote.
      await transaction.unsafe(`
        CREATE ROLE ${name} LOGIN CONNECTION LIMIT ${limits.connections} PASSWORD '${scramVerifier(password)}';
        ALTER ROLE ${name} SET default_transaction_read_only = on;
        ALTER ROLE ${name} SET statement_timeout = '${limits.statementTimeout}';
        ALTER ROLE ${name} SET idle_in_transaction_session_timeout = '${limits.idleInTransactionTimeout}';
        ALTER ROLE ${name} SET work_mem = '${limits.workMem}';
        ALTER ROLE ${name} SET search_path = apm, public;
        COMMENT ON ROLE ${name} IS 'Timespan: an analyst, made by timespan analysts create.'`);
      // The rows first: a login that may read and has none could see nothing, but should not exist for a moment.
      await transaction`
        INSERT INTO timespan.analyst_access (role_name, environments, services)
        VALUES (${name}, ${listOrNull(access.environments)}::text[], ${listOrNull(access.services)}::text[])
        ON CONFLICT (role_name) DO UPDATE
        SET environments = excluded.environments, services = excluded.services, created_at = now()`;
      await transaction.unsafe(`GRANT timespan_analyst TO ${name}`);
    });
  } catch (error) {
    if (sqlState(error) === DUPLICATE_OBJECT) return undefined;
    throw error;
  }
  const leftToDo = await limitTempFiles(database, name);
  return { password, leftToDo: [...leftToDo, ...(await listOpenRights(database))] };
}

const DUPLICATE_OBJECT = "42710";
const INSUFFICIENT_PRIVILEGE = "42501";

/** Only a superuser may set it, and so no analyst may raise it. */
async function limitTempFiles(database: Database, name: string): Promise<string[]> {
  const statement = `ALTER ROLE ${name} SET temp_file_limit = '${ANALYST_LIMITS.tempFiles}'`;
  try {
    await database.unsafe(statement);
    return [];
  } catch (error) {
    if (sqlState(error) === INSUFFICIENT_PRIVILEGE) return [statement];
    throw error;
  }
}

const listOrNull = (names: readonly string[] | null) => (names === null ? null : [...names]);
