/**
 * Brings the schema of `DATABASE_URL` up to date and ends: what an image runs before the apps. `timespan migrate` is
 * the same for a person; it also knows the stack that runs on their machine, and so does not belong in an image.
 */
import { SettingsError } from "@timespan/runtime/settings";
import { migrate } from "@timespan/store/migrate";
import { readConfig } from "./config.ts";

try {
  const { databaseUrl } = readConfig().given;
  if (databaseUrl === undefined) throw new SettingsError(["DATABASE_URL is required"]);
  const { engine, applied } = await migrate({ databaseUrl, log: console.error });
  for (const name of applied) console.log(`applied ${name}`);
  console.log(`The schema is up to date (${engine}, ${applied.length} applied).`);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exit(1);
}
