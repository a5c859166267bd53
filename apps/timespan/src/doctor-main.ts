/**
 * `doctor` for an image: `timespan doctor` is the same for a person; it also knows the stack that runs on their
 * machine, and so does not belong in an image.
 */
import { Command } from "commander";
import { registerDoctor } from "./commands/doctor-register.ts";
import { givenDatabaseUrl } from "./commands/given-database.ts";

try {
  const url = givenDatabaseUrl();
  const program = new Command("doctor");
  registerDoctor(program, () => url);
  await program.parseAsync();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exit(2);
}
