import { StackError } from "@timespan/local-stack/stack-error";
import { migrate as migrateDatabase } from "@timespan/store/migrate";
import type { Config } from "../config.ts";
import type { Progress } from "../progress-line.ts";
import { databaseUrlOf } from "./with-database.ts";

/**
 * Brings the schema of `DATABASE_URL`, or of the stack that runs in this home, up to date.
 * @throws {StackError} when no database is named, or it cannot be migrated
 */
export async function migrate(config: Config, progress: Progress): Promise<void> {
  const databaseUrl = databaseUrlOf(config);
  const place = new URL(databaseUrl).host;
  progress.update(`Migrating the database at ${place}`);
  const { engine, applied } = await migrateOrExplain(databaseUrl, progress.report);
  progress.clear();
  for (const name of applied) progress.report(`applied ${name}`);
  progress.report(`${place} is up to date (${engine}, ${applied.length} applied).`);
}

/**
 * Migrates, and turns what the driver says into an error that a person can act on.
 * @throws {StackError}
 */
export async function migrateOrExplain(databaseUrl: string, log: (line: string) => void) {
  try {
    return await migrateDatabase({ databaseUrl, log });
  } catch (cause) {
    throw new StackError(
      `The database could not be migrated: ${cause instanceof Error ? cause.message : String(cause)}`,
      "It must answer, and the user in DATABASE_URL may create roles, schemas and extensions.",
      { cause },
    );
  }
}
