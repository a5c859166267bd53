/**
 * `bun run bench:query [--density N] [--engine name] [--keep folder]`: what answers of the query API cost over a day of
 * the canonical workload, beside the same questions asked of raw spans by straightforward SQL. Density 1 is 5 million
 * spans in 24 hours. With `--keep` the data stays in the folder, and the next run measures it without loading.
 */
import { chmodSync, closeSync, mkdirSync, mkdtempSync, openSync, readSync, rmSync, statSync } from "node:fs";
import { cpus, tmpdir, totalmem } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { findTimescaledb } from "@timespan/local-stack/find-timescaledb";
import { autoPorts, type Stack, startStack } from "@timespan/local-stack/start-stack";
import { closeDatabase, type Database } from "@timespan/store/database";
import { migrate } from "@timespan/store/migrate";
import { maintainRollups } from "@timespan/store/storage/maintain-rollups";
import { type RunningApp, runApp } from "@timespan/testing/run-app";
import { applyStorage, openAsSuperuser } from "@timespan/testing/test-database";
import { RARE_WORD } from "@timespan/testing/workload/canonical";
import { prepareCanonicalDay, ROLLUPS, runJobs } from "./canonical-day.ts";
import { loadCanonical } from "./load-canonical.ts";
import { cpuSeconds } from "./process-cost.ts";

const { values } = parseArgs({
  options: {
    density: { type: "string", default: "1" },
    spans: { type: "string", default: "5000000" },
    logs: { type: "string", default: "1000000" },
    runs: { type: "string", default: "30" },
    engine: { type: "string" },
    keep: { type: "string" },
    "without-dense-minute": { type: "boolean", default: false },
  },
});
const SPANS = Number(values.spans) * Number(values.density);
const LOGS = Number(values.logs);
const RUNS = Number(values.runs);
const RAW_RUNS = 5;
const DENSE_SPANS_PER_SECOND = 50_000;
const CACHED_SECONDS = 5;
const CACHED_CLIENTS = 8;

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** A question of the API, and how somebody would ask it of the raw rows who knows nothing of rollups. */
interface Question {
  name: string;
  path: string;
  /** The goal of the median through HTTP on TimescaleDB at density 1, in milliseconds. */
  goalMs: number;
  raw: string;
}

const workDir =
  values.keep === undefined ? mkdtempSync(join(tmpdir(), "timespan-bench-")) : resolve(values.keep);
mkdirSync(workDir, { recursive: true });
chmodSync(workDir, 0o755);
let stack: Stack | undefined;
try {
  console.log(
    `${cpus().length} cores, ${Math.round(totalmem() / 2 ** 30)} GiB, Bun ${Bun.version}, ${SPANS.toLocaleString("en")} spans and ${LOGS.toLocaleString("en")} logs in 24 h`,
  );
  const engines = (await findTimescaledb({ environment: process.env })).found
    ? (["installed-timescaledb", "embedded"] as const)
    : (["embedded"] as const);
  for (const engine of engines) {
    if (values.engine !== undefined && !engine.includes(values.engine)) continue;
    const home = join(workDir, engine);
    stack = await startStack({
      home,
      environment: process.env,
      ports: autoPorts,
      docker: "never",
      database: engine,
      report: () => {},
    });
    await stack.kafka.stop();
    console.log(`\n## ${engine}`);
    await benchEngine(stack, join(home, "logs", "postgres.log"));
    await stack.stop();
    stack = undefined;
  }
} finally {
  await stack?.stop();
  if (values.keep === undefined) rmSync(workDir, { recursive: true, force: true });
}

async function benchEngine(stack: Stack, postgresLog: string): Promise<void> {
  const { engine } = await migrate({ databaseUrl: stack.databaseUrl });
  const database = openDatabaseForHours(stack.databaseUrl);
  try {
    await database`ALTER SYSTEM SET log_min_duration_statement = 0`.simple();
    await database`SELECT pg_reload_conf()`;
    await prepareCanonicalDay(stack, database, {
      spans: SPANS,
      logs: LOGS,
      isTimescaledb: engine === "timescaledb",
    });
    const [end] = await database<{ to_ms: number }[]>`
      SELECT ceil(extract(epoch FROM max(start_time)))::float8 * 1000 AS to_ms FROM timespan.spans`;
    const questions = await questionsUntil(database, Math.ceil((end?.to_ms ?? 0) / MINUTE_MS) * MINUTE_MS);

    const api = await startApi(stack, {});
    try {
      console.log("\n| question | goal | HTTP median | p95 | its SQL | from raw spans, straightforward |");
      console.log("|---|---|---|---|---|---|");
      for (const question of questions) await measure(database, api, postgresLog, question);
    } finally {
      await api.stop();
    }
    await measureCached(stack, questions);
    if (engine === "timescaledb") await printSizes(database);
  } finally {
    await closeDatabase(database);
  }
  if (engine === "timescaledb" && !values["without-dense-minute"]) await measureDenseMinute(stack);
}

async function questionsUntil(database: Database, toMs: number): Promise<Question[]> {
  const service = "service-07";
  const [some] = await database<{ trace: string }[]>`
    SELECT replace(trace_id::text, '-', '') AS trace FROM timespan.spans
    WHERE start_time > to_timestamp(${toMs / 1_000 - 17 * 3_600}) ORDER BY start_time LIMIT 1`;
  const window = (ms: number) => `from=${toMs - ms}&to=${toMs}`;
  const during = (ms: number, column = "start_time") =>
    `${column} >= to_timestamp(${(toMs - ms) / 1_000}) AND ${column} < to_timestamp(${toMs / 1_000})`;
  const percentiles = "percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY duration_us)";
  const figures = `count(*), avg((status_code = 2)::int), ${percentiles}`;
  const series = (ms: number, step: string) =>
    `SELECT date_bin('${step}', start_time, '2000-01-01'), ${figures} FROM timespan.spans WHERE span_kind = 2 AND service_name = '${service}' AND ${during(ms)} GROUP BY 1`;
  const ranking = (ms: number) =>
    `SELECT endpoint, ${figures} FROM timespan.spans WHERE span_kind = 2 AND service_name = '${service}' AND ${during(ms)} GROUP BY 1 ORDER BY 2 DESC LIMIT 10`;
  return [
    {
      name: "services overview, 24 h",
      goalMs: 40,
      path: `/query/services?${window(DAY_MS)}`,
      raw: `SELECT service_name, ${figures} FROM timespan.spans WHERE span_kind = 2 AND ${during(DAY_MS)} GROUP BY 1`,
    },
    {
      name: "one service, 1 h by 1 min",
      goalMs: 8,
      path: `/query/services/${service}/metrics?interval=1m&${window(HOUR_MS)}`,
      raw: series(HOUR_MS, "1 minute"),
    },
    {
      name: "one service, 24 h by 10 min",
      goalMs: 20,
      path: `/query/services/${service}/metrics?interval=10m&${window(DAY_MS)}`,
      raw: series(DAY_MS, "10 minutes"),
    },
    {
      name: "one service, 7 d by 30 min (a day of it has rows)",
      goalMs: 100,
      path: `/query/services/${service}/metrics?interval=30m&${window(7 * DAY_MS)}`,
      raw: series(7 * DAY_MS, "30 minutes"),
    },
    {
      name: "endpoint ranking, 60 min",
      goalMs: 6,
      path: `/query/services/${service}/endpoints?${window(HOUR_MS)}`,
      raw: ranking(HOUR_MS),
    },
    {
      name: "endpoint ranking, 24 h",
      goalMs: 40,
      path: `/query/services/${service}/endpoints?${window(DAY_MS)}`,
      raw: ranking(DAY_MS),
    },
    {
      name: "trace by id, no time",
      goalMs: 3,
      path: `/query/traces/${some?.trace}`,
      raw: `SELECT * FROM timespan.spans WHERE trace_id = '${some?.trace}'`,
    },
    {
      name: "newest 50 errors of a service, 24 h",
      goalMs: 5,
      path: `/query/spans?service_name=${service}&status=ERROR&size=50&${window(DAY_MS)}`,
      raw: `SELECT * FROM timespan.spans WHERE service_name = '${service}' AND status_code = 2 AND ${during(DAY_MS)} ORDER BY start_time DESC LIMIT 50`,
    },
    {
      name: "slowest 50 spans, 24 h",
      goalMs: 15,
      path: `/query/spans?sort=duration_desc&size=50&${window(DAY_MS)}`,
      raw: `SELECT * FROM timespan.spans WHERE ${during(DAY_MS)} ORDER BY duration_us DESC LIMIT 50`,
    },
    {
      name: "logs: newest 50 of a level and service, 24 h",
      goalMs: 5,
      path: `/query/logs?service_name=${service}&level=ERROR&size=50&${window(DAY_MS)}`,
      raw: `SELECT * FROM timespan.log_records WHERE service_name = '${service}' AND severity_number = 17 AND ${during(DAY_MS, "time")} ORDER BY time DESC LIMIT 50`,
    },
    {
      name: "logs: a rare word, 24 h",
      goalMs: 120,
      path: `/query/logs?message=${RARE_WORD}&size=50&${window(DAY_MS)}`,
      raw: `SELECT * FROM timespan.log_records WHERE body ILIKE '%${RARE_WORD}%' AND ${during(DAY_MS, "time")} ORDER BY time DESC LIMIT 50`,
    },
  ];
}

function startApi(stack: Stack, env: Record<string, string>): Promise<RunningApp> {
  return runApp("query-api", "PORT", {
    DATABASE_URL: stack.databaseUrl,
    INGEST_LAG_MAX_SECONDS: "86400",
    QUERY_TIMEOUT_MS: "120000",
    LOG_LEVEL: "warn",
    ...env,
  });
}

async function measure(
  database: Database,
  api: RunningApp,
  postgresLog: string,
  question: Question,
): Promise<void> {
  const http: number[] = [];
  const sql: number[] = [];
  for (let run = -3; run < RUNS; run++) {
    const logged = statSync(postgresLog).size;
    const started = performance.now();
    const response = await fetch(`${api.url}${question.path}`);
    const text = await response.text();
    const ms = performance.now() - started;
    if (response.status !== 200) throw new Error(`${question.path}: ${text.slice(0, 500)}`);
    if (run < 0) continue;
    http.push(ms);
    sql.push(statementMs(postgresLog, logged));
  }
  const raw: number[] = [];
  for (let run = -1; run < RAW_RUNS; run++) {
    const started = performance.now();
    await database.unsafe(question.raw);
    if (run >= 0) raw.push(performance.now() - started);
  }
  console.log(
    `| ${question.name} | ${question.goalMs} | ${ms(quantile(http, 0.5))} | ${ms(quantile(http, 0.95))} | ${ms(quantile(sql, 0.5))} | ${ms(quantile(raw, 0.5))} |`,
  );
}

/** What the server says that all statements since the log had `from` bytes took: parsed, bound and executed. */
function statementMs(postgresLog: string, from: number): number {
  const bytes = Buffer.alloc(statSync(postgresLog).size - from);
  const file = openSync(postgresLog, "r");
  readSync(file, bytes, 0, bytes.byteLength, from);
  closeSync(file);
  return [...bytes.toString().matchAll(/LOG: {2}duration: ([\d.]+) ms/g)].reduce(
    (sum, [, text]) => sum + Number(text),
    0,
  );
}

/** Metric requests that the cache answers, by the CPU seconds that the API itself needs for them. */
async function measureCached(stack: Stack, questions: readonly Question[]): Promise<void> {
  if (stack.redis === undefined) return;
  const api = await startApi(stack, { REDIS_HOST: stack.redis.host, REDIS_PORT: String(stack.redis.port) });
  try {
    const url = `${api.url}${questions.find(({ path }) => path.includes("interval=10m"))?.path}`;
    await (await fetch(url)).text();
    const before = cpuSeconds(api.pid) ?? 0;
    const until = performance.now() + CACHED_SECONDS * 1_000;
    let answered = 0;
    await Promise.all(
      Array.from({ length: CACHED_CLIENTS }, async () => {
        while (performance.now() < until) {
          await (await fetch(url)).arrayBuffer();
          answered++;
        }
      }),
    );
    const used = (cpuSeconds(api.pid) ?? 0) - before;
    console.log(
      `\ncached metric requests: ${Math.round(answered / CACHED_SECONDS)}/s beside this client, ${Math.round(answered / used)} per CPU second of the API`,
    );
  } finally {
    await api.stop();
  }
}

async function printSizes(database: Database): Promise<void> {
  const sizes = await database<{ name: string; mb: number; compressed_mb: number | null }[]>`
    SELECT name, (hypertable_size(hypertable) / 1e6)::float8 AS mb,
      (SELECT (sum(after_compression_total_bytes) / 1e6)::float8 FROM chunk_columnstore_stats(hypertable)) AS compressed_mb
    FROM (
      SELECT hypertable_name::text AS name, format('%I.%I', hypertable_schema, hypertable_name)::regclass AS hypertable
      FROM timescaledb_information.hypertables WHERE hypertable_schema = 'timespan'
      UNION ALL
      SELECT view_name, format('%I.%I', materialization_hypertable_schema, materialization_hypertable_name)::regclass
      FROM timescaledb_information.continuous_aggregates WHERE view_schema = 'timespan'
    ) AS hypertables ORDER BY 1`;
  console.log("\n| on disk | MB | of it in the columnstore |\n|---|---|---|");
  for (const { name, mb, compressed_mb } of sizes) {
    console.log(`| ${name} | ${mb.toFixed(1)} | ${(compressed_mb ?? 0).toFixed(1)} |`);
  }
  const [raw] = await database<{ bytes: number | null }[]>`
    SELECT sum(stats.after_compression_total_bytes)::float8 / (
      SELECT count(*) FROM timespan.spans
      WHERE start_time < (SELECT max(range_end) FROM timescaledb_information.chunks WHERE hypertable_schema = 'timespan' AND hypertable_name = 'spans' AND is_compressed)
    ) AS bytes
    FROM chunk_columnstore_stats('timespan.spans') AS stats`;
  if (raw?.bytes) console.log(`a span in the columnstore: ${raw.bytes.toFixed(1)} bytes`);
}

/** One minute at 50,000 spans/s in a database of its own: what all rollups together cost. */
async function measureDenseMinute(stack: Stack): Promise<void> {
  const url = new URL(stack.databaseUrl);
  url.pathname = "/dense_minute";
  const server = openDatabaseForHours(stack.databaseUrl);
  await server`DROP DATABASE IF EXISTS dense_minute WITH (FORCE)`.simple();
  await server`CREATE DATABASE dense_minute`.simple();
  await migrate({ databaseUrl: url.href });
  const database = openDatabaseForHours(url.href);
  try {
    await applyStorage(database, { chunkIntervalMs: 15 * MINUTE_MS });
    await maintainRollups(database, ROLLUPS);
    await database`SELECT alter_job(job_id, scheduled => false) FROM timescaledb_information.jobs WHERE job_id >= 1000`;
    // The first minute makes chunks and fills caches of plans; the second is what a minute costs. It is of the hour that
    // has just begun, as minutes are that come in time: its hour is computed once, when it is over.
    for (let minute = 0; minute < 2; minute++) {
      const fromMs = Math.floor(Date.now() / MINUTE_MS) * MINUTE_MS;
      await loadCanonical(database, {
        spans: DENSE_SPANS_PER_SECOND * 60,
        logs: 0,
        fromMs,
        toMs: fromMs + MINUTE_MS,
        report: () => {},
      });
      await database`VACUUM (ANALYZE) timespan.spans`.simple();
      await Bun.sleep(Math.max(0, fromMs + MINUTE_MS + ROLLUPS.refreshDelayMs + 1_000 - Date.now()));
      const before = cpuSeconds(stack.postgres.pid ?? 0) ?? 0;
      const started = performance.now();
      await runJobs(database, "refresh_rollups");
      const used = (cpuSeconds(stack.postgres.pid ?? 0) ?? 0) - before;
      console.log(
        `refreshing a minute of ${DENSE_SPANS_PER_SECOND} spans/s: ${used.toFixed(1)} CPU seconds, ${seconds(started)} (goal 4 s)`,
      );
    }
    await printSizes(database);
  } finally {
    await closeDatabase(database);
    await server`DROP DATABASE dense_minute WITH (FORCE)`.simple();
    await closeDatabase(server);
  }
}

function openDatabaseForHours(url: string): Database {
  return openAsSuperuser(url, HOUR_MS);
}

function quantile(samples: readonly number[], q: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? Number.NaN;
}

function ms(value: number): string {
  return value.toFixed(value < 10 ? 1 : 0);
}

function seconds(since: number): string {
  return `${((performance.now() - since) / 1_000).toFixed(1)} s`;
}
