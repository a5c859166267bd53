/**
 * `analysts create | list | drop` for an image: `timespan analysts` is the same for a person; it also knows the stack
 * that runs on their machine, and so does not belong in an image.
 */
import { Command } from "commander";
import { registerAnalysts } from "./commands/analysts-register.ts";
import { givenDatabaseUrl, withGivenDatabase } from "./commands/given-database.ts";

try {
  const url = givenDatabaseUrl();
  const program = new Command("analysts");
  registerAnalysts(
    program,
    () => url,
    (work) => withGivenDatabase(url, "analysts", work),
  );
  await program.parseAsync();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exit(1);
}
