import { type Command, InvalidArgumentError } from "commander";
import { readConfig } from "../config.ts";
import { createLogin, dropLogin, listLogins } from "./analysts.ts";
import { databaseUrlOf, withDatabase } from "./with-database.ts";

/** `timespan analysts create | list | drop`. */
export function registerAnalysts(program: Command): void {
  const analysts = program
    .command("analysts")
    .description("logins for people who ask by SQL: they read schema apm, and of it the rows they may see");

  analysts
    .command("create")
    .description("make a login and print its connection string, once: the password is stored nowhere")
    .argument("<name>", "of the login")
    .option("--environment <name>", "sees only this environment; may be repeated", collect)
    .option("--service <name>", "sees only this service; may be repeated", collect)
    .action(async (name: string, options: { environment?: string[]; service?: string[] }) => {
      const { environment: environments = [], service: services = [] } = options;
      const config = readConfig();
      const databaseUrl = databaseUrlOf(config);
      const created = await withDatabase(config, "analysts", (database) =>
        createLogin(database, { name, environments, services, databaseUrl }),
      );
      // The connection string alone is on standard output: psql "$(… analysts create ana)" holds nothing else.
      console.error(created.explanation);
      console.log(created.connectionString);
    });

  analysts
    .command("list")
    .description("list them with what they see")
    .option("--json", "as JSON", false)
    .action(async (options: { json: boolean }) => {
      console.log(await withDatabase(readConfig(), "analysts", (database) => listLogins(database, options)));
    });

  analysts
    .command("drop")
    .description("drop a login and end its sessions")
    .argument("<name>", "of the login")
    .action(async (name: string) => {
      console.log(await withDatabase(readConfig(), "analysts", (database) => dropLogin(database, name)));
    });
}

function collect(text: string, before: string[] = []): string[] {
  if (text === "") throw new InvalidArgumentError("must not be empty");
  return [...before, text];
}
