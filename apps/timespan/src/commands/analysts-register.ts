import type { Database } from "@timespan/store/database";
import { type Command, InvalidArgumentError } from "commander";
import { createLogin, dropLogin, listLogins } from "./analysts.ts";

type WithDatabase = <T>(work: (database: Database) => Promise<T>) => Promise<T>;

/** `analysts create | list | drop`, below `analysts`. The connection strings they print are made of `databaseUrl`. */
export function registerAnalysts(
  analysts: Command,
  databaseUrl: () => string,
  withDatabase: WithDatabase,
): void {
  analysts.description(
    "logins for people who ask by SQL: they read schema apm, and of it the rows they may see",
  );

  analysts
    .command("create")
    .description("make a login and print its connection string, once: the password is stored nowhere")
    .argument("<name>", "of the login")
    .option("--environment <name>", "sees only this environment; may be repeated", collect)
    .option("--service <name>", "sees only this service; may be repeated", collect)
    .action(async (name: string, options: { environment?: string[]; service?: string[] }) => {
      const { environment: environments = [], service: services = [] } = options;
      const created = await withDatabase((database) =>
        createLogin(database, { name, environments, services, databaseUrl: databaseUrl() }),
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
      console.log(await withDatabase((database) => listLogins(database, options)));
    });

  analysts
    .command("drop")
    .description("drop a login and end its sessions")
    .argument("<name>", "of the login")
    .action(async (name: string) => {
      console.log(await withDatabase((database) => dropLogin(database, name)));
    });
}

function collect(text: string, before: string[] = []): string[] {
  if (text === "") throw new InvalidArgumentError("must not be empty");
  return [...before, text];
}
