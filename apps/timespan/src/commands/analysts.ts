import { ANALYST_LIMITS, ANALYST_NAME, createAnalyst } from "@timespan/store/analysts/create-analyst";
import { dropAnalyst } from "@timespan/store/analysts/drop-analyst";
import { type AnalystItem, listAnalysts } from "@timespan/store/analysts/list-analysts";
import type { Database } from "@timespan/store/database";
import { environmentName } from "@timespan/telemetry/environment-name";
import { CommandError } from "./command-error.ts";

export interface CreateOptions {
  name: string;
  /** As a person writes them; none means all. */
  environments: readonly string[];
  services: readonly string[];
  /** Of the database; user and password are replaced by the analyst's. */
  databaseUrl: string;
}

/** `connectionString` is what a program may want alone, `explanation` is for the person beside it. */
export interface CreatedLogin {
  connectionString: string;
  explanation: string;
}

/**
 * Makes a login for a person with SQL.
 * @throws {CommandError} where its name is taken or is none
 */
export async function createLogin(database: Database, options: CreateOptions): Promise<CreatedLogin> {
  const { name, services, databaseUrl } = options;
  if (!ANALYST_NAME.test(name)) {
    throw new CommandError(
      `${name} is no name for a login. Take small letters, digits and _, a letter first, at most 63 in all.`,
    );
  }
  const access = {
    environments: namesOrAll(options.environments.map(environmentName)),
    services: namesOrAll(services),
  };
  const created = await createAnalyst(database, { name, access });
  if (created === undefined) {
    throw new CommandError(
      `There is a role ${name} already. Choose another name, or drop it: analysts drop ${name}.`,
    );
  }
  const url = new URL(databaseUrl);
  url.username = name;
  url.password = created.password;
  const { statementTimeout, connections } = ANALYST_LIMITS;
  return {
    connectionString: url.href,
    explanation: [
      `${name} may read schema apm; environments: ${allOr(access.environments)}; services: ${allOr(access.services)}.`,
      `At most ${connections} connections; a statement is cancelled after ${statementTimeout}.`,
      ...created.leftToDo.map((statement) => `The owner of the database should still run: ${statement};`),
      "The password is shown once and stored nowhere.",
    ].join("\n"),
  };
}

function namesOrAll(names: readonly string[]): readonly string[] | null {
  return names.length === 0 ? null : [...new Set(names)];
}

/** The analysts as a table, or as JSON. */
export async function listLogins(database: Database, { json }: { json: boolean }): Promise<string> {
  const analysts = await listAnalysts(database);
  if (json) return JSON.stringify(analysts, null, 2);
  return analysts.length === 0 ? "No analysts." : tableLines(analysts).join("\n");
}

/**
 * Drops the login of an analyst and ends its sessions.
 * @throws {CommandError} where there is none of that name
 */
export async function dropLogin(database: Database, name: string): Promise<string> {
  if (!(await dropAnalyst(database, name))) {
    throw new CommandError(`There is no analyst ${name}: \`analysts list\` has those there are.`);
  }
  return `${name} is dropped, and its sessions are ended.`;
}

const COLUMNS: readonly (readonly [header: string, cell: (analyst: AnalystItem) => string])[] = [
  ["NAME", ({ name }) => name],
  ["ENVIRONMENTS", ({ environments }) => allOr(environments)],
  ["SERVICES", ({ services }) => allOr(services)],
  ["CONNECTIONS", ({ connection_count }) => String(connection_count)],
  ["CREATED", ({ created_at }) => created_at],
];

function tableLines(analysts: readonly AnalystItem[]): string[] {
  const rows = [
    COLUMNS.map(([header]) => header),
    ...analysts.map((analyst) => COLUMNS.map(([, cell]) => cell(analyst))),
  ];
  const widths = COLUMNS.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
}

function allOr(names: readonly string[] | null): string {
  return names === null ? "all" : names.join(",");
}
