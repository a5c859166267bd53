/**
 * `keys create | list | revoke` for an image: `timespan keys` is the same for a person; it also knows the stack that
 * runs on their machine, and so does not belong in an image.
 */
import { Command } from "commander";
import { givenDatabaseUrl, withGivenDatabase } from "./commands/given-database.ts";
import { registerKeys } from "./commands/keys-register.ts";

try {
  const url = givenDatabaseUrl();
  const program = new Command("keys");
  registerKeys(program, (work) => withGivenDatabase(url, "keys", work));
  await program.parseAsync();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exit(1);
}
