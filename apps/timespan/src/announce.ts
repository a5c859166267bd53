import { readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { findProgram } from "@timespan/local-stack/find-program";
import type { RunningStack } from "./commands/up.ts";
import { type Config, REPOSITORY } from "./config.ts";
import { envFilePath } from "./env-file.ts";

/** The lines that tell a person where everything is. */
export function addressLines(config: Config, stack: RunningStack): string[] {
  const database = new URL(stack.databaseUrl);
  return [
    "",
    "Timespan is up.",
    `  Query API    ${stack.queryApiUrl} (every path to try out: ${stack.queryApiUrl}/api-docs)`,
    `  Live errors  ${livePage(stack)} (WebSocket: ${stack.errorStreamUrl})`,
    ...(config.authRequired ? ["  API key      needed: bun run keys create --name <who uses it>"] : []),
    `  Database     postgres://${database.username}@${database.host}${database.pathname}`,
    `  Kafka        ${stack.kafkaBrokers.join(",")}`,
    `  Logs         ${shorten(join(config.home, "logs"))}`,
    `  All of it, with passwords, as NAME=value lines: ${shorten(envFilePath(config.home))}`,
  ];
}

/** Three commands worth trying on a stack with traffic, made for what this machine has. */
export function commandLines(config: Config, stack: RunningStack): string[] {
  const bun = findProgram("npx", config.environment) === undefined ? "bun" : `npx -y ${packageManager()}`;
  const envFile = shellWord(shorten(envFilePath(config.home)));
  const statement =
    "SELECT service_name, count(*) AS spans, round(max(duration_ms)) AS slowest_ms FROM apm.spans GROUP BY 1 ORDER BY 2 DESC";
  const sql =
    findProgram("psql", config.environment) === undefined
      ? `${bun} --env-file=${envFile} -e 'console.table(await Bun.sql\`${statement}\`)'`
      : `psql "$(sed -n 's/^DATABASE_URL=//p' ${envFile})" -c '${statement}'`;
  const listen = `new WebSocket("${stack.errorStreamUrl}").onmessage = (m) => console.log(m.data)`;
  return [
    "",
    "Three commands worth trying in another terminal, from this folder:",
    "  The slowest failed requests of the last quarter of an hour",
    `    curl -s '${stack.queryApiUrl}/query/spans?status=ERROR&kind=SERVER&from=now-15m&sort=duration_desc&size=3'`,
    "  The same spans as a table in SQL",
    `    ${sql}`,
    "  Errors, as they happen",
    `    ${bun} -e '${listen}'`,
  ];
}

/** The page that shows errors as they happen, beside the WebSocket. */
function livePage({ errorStreamUrl }: RunningStack): string {
  return new URL("/", errorStreamUrl.replace(/^ws/, "http")).href;
}

/** Bun in the version this repository is made for, such as "bun@1.4.5". */
function packageManager(): string {
  const text = readFileSync(join(REPOSITORY, "package.json"), "utf8");
  return /"packageManager":\s*"([^"]+)"/.exec(text)?.[1] ?? "bun";
}

/** Relative to the repository when inside it, which is where the commands are typed. */
function shorten(path: string): string {
  const inside = relative(REPOSITORY, path);
  return inside.startsWith("..") ? path : inside;
}

function shellWord(text: string): string {
  return /^[\w./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
