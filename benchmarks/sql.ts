/**
 * `bun run bench:sql [--spans N] [--runs N] [--keep folder]`: what each question of docs/sql.md costs an analyst on
 * TimescaleDB, over the day of spans that bench:query measures. With `--keep` the data stays in the folder, and the
 * next run of either measures it without loading.
 */
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { cpus, tmpdir, totalmem } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { findTimescaledb } from "@timespan/local-stack/find-timescaledb";
import { autoPorts, type Stack, startStack } from "@timespan/local-stack/start-stack";
import { createAnalyst } from "@timespan/store/analysts/create-analyst";
import { dropAnalyst } from "@timespan/store/analysts/drop-analyst";
import { closeDatabase, type Database, openDatabase } from "@timespan/store/database";
import { migrate } from "@timespan/store/migrate";
import { openAsSuperuser } from "@timespan/testing/test-database";
import { COOKBOOK_PAGE, type CookbookQuery, cookbookQueries } from "../docs/cookbook.ts";
import { prepareCanonicalDay } from "./canonical-day.ts";

const { values } = parseArgs({
  options: {
    spans: { type: "string", default: "5000000" },
    logs: { type: "string", default: "1000000" },
    runs: { type: "string", default: "5" },
    keep: { type: "string" },
  },
});
const SPANS = Number(values.spans);
const LOGS = Number(values.logs);
const RUNS = Number(values.runs);
const ANALYST = "bench_sql";
const STATEMENT_TIMEOUT_MS = 120_000;
/** What rollups can answer, and what has to read a day of spans. */
const ROLLUP_GOAL_MS = 200;
const RAW_GOAL_MS = 3_000;

/** The shop's names, as those of the canonical workload that stand for them. */
const STAND_INS: readonly (readonly [RegExp, string])[] = [
  [/'storefront'/g, "'service-07'"],
  [/'catalog'/g, "'service-03'"],
  [/'checkout'/g, "'service-05'"],
  [/'payment'/g, "'service-11'"],
  [/'search'/g, "'service-02'"],
  [/'POST \/checkout'/g, "'GET /endpoint-03'"],
];

if (!(await findTimescaledb({ environment: process.env })).found) {
  throw new Error("bench:sql measures TimescaleDB Community, and none is installed on this machine");
}
const workDir =
  values.keep === undefined ? mkdtempSync(join(tmpdir(), "timespan-bench-")) : resolve(values.keep);
mkdirSync(workDir, { recursive: true });
chmodSync(workDir, 0o755);
let stack: Stack | undefined;
try {
  stack = await startStack({
    home: join(workDir, "installed-timescaledb"),
    environment: process.env,
    ports: autoPorts,
    docker: "never",
    database: "installed-timescaledb",
    report: () => {},
  });
  await stack.kafka.stop();
  await bench(stack);
} finally {
  await stack?.stop();
  if (values.keep === undefined) rmSync(workDir, { recursive: true, force: true });
}

async function bench(stack: Stack): Promise<void> {
  await migrate({ databaseUrl: stack.databaseUrl });
  const owner = openAsSuperuser(stack.databaseUrl, 3_600_000);
  await prepareCanonicalDay(stack, owner, { spans: SPANS, logs: LOGS, isTimescaledb: true });
  await deriveEdges(owner);
  const [{ end } = { end: "" }] = await owner<{ end: string }[]>`
    SELECT date_trunc('minute', max(start_time) + INTERVAL '1 minute')::text AS end FROM timespan.spans`;
  await dropAnalyst(owner, ANALYST);
  await owner`DROP SCHEMA IF EXISTS shop CASCADE`.simple();
  const made = await createAnalyst(owner, { name: ANALYST, access: { environments: null, services: null } });
  const url = new URL(stack.databaseUrl);
  url.username = ANALYST;
  url.password = made?.password ?? "";
  const analyst = openDatabase({
    url: url.href,
    applicationName: "bench:sql",
    poolMax: 1,
    statementTimeoutMs: STATEMENT_TIMEOUT_MS,
  });
  console.log(
    `${cpus().length} cores, ${Math.round(totalmem() / 2 ** 30)} GiB, Bun ${Bun.version}, ${SPANS.toLocaleString("en")} spans and ${LOGS.toLocaleString("en")} logs in 24 h\n`,
  );
  console.log("| question | goal | median of all runs, ms | slowest | rows |\n|---|---|---|---|---|");
  try {
    for (const query of cookbookQueries(readFileSync(join(import.meta.dir, "..", COOKBOOK_PAGE), "utf8"))) {
      if (query.byOwner) await owner.unsafe(ofThisDay(query.sql, end));
      else console.log(await measure(analyst, query, end));
    }
  } finally {
    await closeDatabase(analyst);
    await owner`DROP SCHEMA IF EXISTS shop CASCADE`.simple();
    await dropAnalyst(owner, ANALYST);
    await closeDatabase(owner);
  }
}

/** Runs the job of the service map until it has nothing left to do: a run ends now and then. */
async function deriveEdges(owner: Database): Promise<void> {
  const [job] = await owner<{ job_id: number }[]>`
    SELECT job_id FROM timescaledb_information.jobs WHERE proc_name = 'refresh_service_edges'`;
  for (;;) {
    const [stale] = await owner<{ is: boolean }[]>`
      SELECT EXISTS (SELECT FROM timespan.stale_service_edge_minutes(1, '1 hour')) AS is`;
    if (!stale?.is) return;
    await owner`CALL run_job(${job?.job_id ?? 0})`;
  }
}

async function measure(database: Database, { title, sql }: CookbookQuery, end: string): Promise<string> {
  const statement = ofThisDay(sql, end);
  const times: number[] = [];
  let rowCount = 0;
  for (let run = -1; run < RUNS; run++) {
    const started = performance.now();
    rowCount = (await database.unsafe(statement)).length;
    if (run >= 0) times.push(performance.now() - started);
  }
  times.sort((a, b) => a - b);
  const goal = /\bapm\.(spans|logs|traces|traces_between|trace_\w+)\b/.test(sql)
    ? RAW_GOAL_MS
    : ROLLUP_GOAL_MS;
  const shown = (ms = Number.NaN) => ms.toFixed(ms < 10 ? 1 : 0);
  return `| ${title} | ${goal} | ${shown(times[Math.floor(times.length / 2)])} | ${shown(times.at(-1))} | ${rowCount} |`;
}

/** The statement as it is asked at the end of the day that was loaded, of the services that are in it. */
function ofThisDay(sql: string, end: string): string {
  const renamed = STAND_INS.reduce((text, [name, standIn]) => text.replace(name, standIn), sql);
  return renamed
    .replace(/'2026-03-09 \d\d:00\+00'/g, `'${end}'::timestamptz - INTERVAL '4 hours'`)
    .replaceAll("now()", `TIMESTAMPTZ '${end}'`);
}
