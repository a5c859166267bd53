/**
 * `doctor` for an image: `timespan doctor` is the same for a person; it also knows the stack that runs on their
 * machine, and so does not belong in an image.
 */
import { SettingsError } from "@timespan/runtime/settings";
import { Command } from "commander";
import { registerDoctor } from "./commands/doctor-register.ts";
import { readConfig } from "./config.ts";

try {
  const { databaseUrl } = readConfig().given;
  if (databaseUrl === undefined) throw new SettingsError(["DATABASE_URL is required"]);
  const program = new Command("doctor");
  registerDoctor(program, () => databaseUrl);
  await program.parseAsync();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exit(2);
}
