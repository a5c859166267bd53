/**
 * `bun run test [part of a path …]`: type check, lint, unit tests, then the integration tests against servers that
 * are started for them. Ends with one line of real counts, `N passed, N failed, N skipped`, and exits accordingly.
 */
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative, resolve } from "node:path";
import { findTimescaledb } from "@timespan/local-stack/find-timescaledb";
import { autoPorts, type Stack, startStack } from "@timespan/local-stack/start-stack";
import { TEST_ENVIRONMENT_VARIABLE, type TestEnvironment } from "@timespan/testing/test-environment";

const REPOSITORY = resolve(import.meta.dir, "..");
const INTEGRATION = ".integration.test.ts";
/** For a hang, not for speed: the longest test waits for a database that is away on purpose. */
const TEST_TIMEOUT_MS = 120_000;

const counts = { passed: 0, failed: 0, skipped: 0 };
const stacks: Stack[] = [];
const workDir = mkdtempSync(join(tmpdir(), "timespan-test-"));
// As root, Postgres runs as another user, who must be able to enter.
chmodSync(workDir, 0o755);

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => {
    void finish().then(() => process.exit(1));
  });
}

try {
  const filters = process.argv.slice(2);
  const files = findTestFiles(filters);
  if (filters.length === 0) {
    await check("type check", ["node_modules/.bin/tsc", "--noEmit"]);
    await check("lint and format", ["node_modules/.bin/biome", "check", "."]);
  }
  await runTests(
    "unit tests",
    files.filter((file) => !file.endsWith(INTEGRATION)),
    {},
  );
  const integration = files.filter((file) => file.endsWith(INTEGRATION));
  if (integration.length > 0) {
    const environment = await startServers();
    await runTests("integration tests", integration, {
      [TEST_ENVIRONMENT_VARIABLE]: JSON.stringify(environment),
    });
    announceEngines(environment);
  }
} catch (error) {
  counts.failed++;
  console.error(error instanceof Error ? error.message : error);
} finally {
  await finish();
}
console.log(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
process.exit(counts.failed > 0 || counts.passed === 0 ? 1 : 0);

function findTestFiles(filters: readonly string[]): string[] {
  const found = [...new Bun.Glob("{apps,packages,tests}/**/*.test.ts").scanSync({ cwd: REPOSITORY })];
  const matching = found.filter(
    (file) => filters.length === 0 || filters.some((filter) => file.includes(filter)),
  );
  if (matching.length === 0) throw new Error(`no test file matches ${filters.join(" ")}`);
  return matching.filter((file) => !file.includes("node_modules")).sort();
}

/** A tool that either finds nothing wrong or fails; it counts as one test. */
async function check(name: string, command: string[]): Promise<void> {
  const started = performance.now();
  const [tool = "", ...args] = command;
  const child = Bun.spawn([process.execPath, join(REPOSITORY, tool), ...args], {
    cwd: REPOSITORY,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [output, errors, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (code === 0) counts.passed++;
  else {
    counts.failed++;
    console.error(`${output}${errors}`);
  }
  console.log(`${name}: ${code === 0 ? "passed" : "failed"} in ${seconds(started)}`);
}

async function runTests(name: string, files: readonly string[], env: Record<string, string>): Promise<void> {
  if (files.length === 0) return;
  const started = performance.now();
  const report = join(workDir, `${name.replaceAll(" ", "-")}.xml`);
  const child = Bun.spawn(
    [
      process.execPath,
      "test",
      `--timeout=${TEST_TIMEOUT_MS}`,
      "--reporter=junit",
      `--reporter-outfile=${report}`,
      ...files.map((file) => `./${relative(REPOSITORY, join(REPOSITORY, file))}`),
    ],
    {
      cwd: REPOSITORY,
      env: { ...process.env, ...env },
      stdin: "ignore",
      stdout: "inherit",
      stderr: "inherit",
    },
  );
  const code = await child.exited;
  const { tests, failures, skipped } = readReport(report);
  // A run that broke before or beside its tests must not pass for one in which all went well.
  const broke = code !== 0 && failures === 0 ? 1 : 0;
  counts.failed += failures + broke;
  counts.skipped += skipped;
  counts.passed += tests - failures - skipped;
  console.log(
    `${name}: ${tests - failures - skipped} passed, ${failures + broke} failed, ${skipped} skipped in ${seconds(started)}`,
  );
}

/** The totals of a JUnit report; a report that is missing counts nothing. */
function readReport(path: string): { tests: number; failures: number; skipped: number } {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch {
    return { tests: 0, failures: 0, skipped: 0 };
  }
  const totals = /<testsuites [^>]*>/.exec(text)?.[0] ?? "";
  const read = (attribute: string) => Number(new RegExp(`\\b${attribute}="(\\d+)"`).exec(totals)?.[1] ?? 0);
  return { tests: read("tests"), failures: read("failures"), skipped: read("skipped") };
}

/** Embedded PostgreSQL always; TimescaleDB beside it where this machine has it; one Kafka and Redis for both. */
async function startServers(): Promise<TestEnvironment> {
  const started = performance.now();
  const start = async (name: string, options: Partial<Parameters<typeof startStack>[0]>) => {
    const home = join(workDir, name);
    mkdirSync(home);
    const stack = await startStack({
      home,
      environment: process.env,
      ports: autoPorts,
      docker: "never",
      report: (line) => console.log(line),
      ...options,
    });
    stacks.push(stack);
    return stack;
  };
  const plain = await start("embedded", { database: "embedded" });
  const { found } = await findTimescaledb({ environment: process.env, pgBin: process.env.TIMESPAN_PG_BIN });
  const timescale =
    found === undefined
      ? undefined
      : await start("timescaledb", {
          database: "installed-timescaledb",
          pgBin: process.env.TIMESPAN_PG_BIN,
          given: { kafkaBrokers: plain.kafkaBrokers, redis: plain.redis },
        });
  console.log(`servers started in ${seconds(started)}`);
  return {
    kafkaBrokers: [...plain.kafkaBrokers],
    redis: plain.redis,
    databases: {
      postgres: plain.databaseUrl,
      ...(timescale === undefined ? {} : { timescaledb: timescale.databaseUrl }),
    },
  };
}

function announceEngines({ databases }: TestEnvironment): void {
  console.log("Engine postgres (embedded): ran.");
  console.log(
    databases.timescaledb === undefined
      ? "Engine timescaledb: SKIPPED, no TimescaleDB Community is installed on this machine."
      : "Engine timescaledb (installed on this machine): ran.",
  );
}

async function finish(): Promise<void> {
  for (const stack of stacks.splice(0).reverse()) {
    await stack.stop().catch((error: unknown) => console.error("a server did not stop:", error));
  }
  rmSync(workDir, { recursive: true, force: true });
}

function seconds(since: number): string {
  return `${((performance.now() - since) / 1_000).toFixed(1)} s`;
}
