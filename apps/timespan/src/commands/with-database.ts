import { StackError } from "@timespan/local-stack/stack-error";
import { closeDatabase, type Database, openDatabase } from "@timespan/store/database";
import { sqlState } from "@timespan/store/database-error";
import type { Config } from "../config.ts";
import { readEnvFile } from "../env-file.ts";

const STATEMENT_TIMEOUT_MS = 300_000;

/**
 * Runs `work` on the database of `DATABASE_URL` or of the stack that runs here, with all rights of its user.
 * @throws {StackError} where there is no database, or it cannot be asked
 */
export async function withDatabase<T>(
  config: Config,
  command: string,
  work: (database: Database) => Promise<T>,
): Promise<T> {
  const url = databaseUrlOf(config);
  const database = openDatabase({
    url,
    applicationName: `timespan ${command}`,
    poolMax: 2,
    statementTimeoutMs: STATEMENT_TIMEOUT_MS,
  });
  try {
    return await work(database);
  } catch (error) {
    throw explained(error, new URL(url).host);
  } finally {
    await closeDatabase(database);
  }
}

/**
 * `DATABASE_URL`, or that of the stack that runs here.
 * @throws {StackError} where there is neither
 */
export function databaseUrlOf(config: Config): string {
  const url = config.given.databaseUrl ?? readEnvFile(config.home)?.DATABASE_URL;
  if (url !== undefined) return url;
  throw new StackError(
    `DATABASE_URL is not set, and no stack runs in ${config.home}.`,
    "Set DATABASE_URL, or start a stack with `bun run up`.",
  );
}

/** What the database answered, as something that a person can act on; other errors as they are. */
function explained(error: unknown, host: string): unknown {
  const code = sqlState(error);
  if (error instanceof StackError || code === undefined) return error;
  const what = `The database at ${host} could not be asked: ${messageOf(error)}`;
  if (["42P01", "42703", "3F000"].includes(code)) {
    return new StackError(what, "Its schema is not up to date: migrate it with `bun run migrate`.", {
      cause: error,
    });
  }
  if (code === "42501") {
    return new StackError(
      what,
      "Use the user that migrates the database: the apps' own roles may not do this.",
      {
        cause: error,
      },
    );
  }
  return new StackError(what, "Does it run, and does DATABASE_URL name it and its password?", {
    cause: error,
  });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
