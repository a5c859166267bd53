/**
 * `keys create | list | revoke` for an image: `timespan keys` is the same for a person; it also knows the stack that
 * runs on their machine, and so does not belong in an image.
 */
import { SettingsError } from "@timespan/runtime/settings";
import { closeDatabase, openDatabase } from "@timespan/store/database";
import { Command } from "commander";
import { registerKeys } from "./commands/keys-register.ts";
import { readConfig } from "./config.ts";

const STATEMENT_TIMEOUT_MS = 30_000;

try {
  const { databaseUrl } = readConfig().given;
  if (databaseUrl === undefined) throw new SettingsError(["DATABASE_URL is required"]);
  const program = new Command("keys");
  registerKeys(program, async (work) => {
    const database = openDatabase({
      url: databaseUrl,
      applicationName: "timespan keys",
      poolMax: 1,
      statementTimeoutMs: STATEMENT_TIMEOUT_MS,
    });
    try {
      return await work(database);
    } finally {
      await closeDatabase(database);
    }
  });
  await program.parseAsync();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exit(1);
}
