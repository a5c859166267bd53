import { SettingsError } from "@timespan/runtime/settings";
import { closeDatabase, type Database, openDatabase } from "@timespan/store/database";
import { readConfig } from "../config.ts";

const STATEMENT_TIMEOUT_MS = 30_000;

/**
 * `DATABASE_URL`: the commands of an image know no other database.
 * @throws {SettingsError} where it is not set
 */
export function givenDatabaseUrl(): string {
  const { databaseUrl } = readConfig().given;
  if (databaseUrl === undefined) throw new SettingsError(["DATABASE_URL is required"]);
  return databaseUrl;
}

/**
 * Runs `work` on the database at `url`, with all rights of its user.
 * @throws the driver's error where the database is away or refuses
 */
export async function withGivenDatabase<T>(
  url: string,
  command: string,
  work: (database: Database) => Promise<T>,
): Promise<T> {
  const database = openDatabase({
    url,
    applicationName: `timespan ${command}`,
    poolMax: 1,
    statementTimeoutMs: STATEMENT_TIMEOUT_MS,
  });
  try {
    return await work(database);
  } finally {
    await closeDatabase(database);
  }
}
