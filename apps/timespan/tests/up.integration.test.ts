import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findFreePort, portIsFree } from "@timespan/local-stack/free-port";
import { readPidFile } from "@timespan/local-stack/pid-file";
import { processIdentity } from "@timespan/local-stack/process-identity";
import { pidFilesDir } from "@timespan/local-stack/stop-leftovers";
import { envFilePath, readEnvFile } from "../src/env-file.ts";

const MAIN = join(import.meta.dir, "../src/main.ts");
const home = mkdtempSync(join(tmpdir(), "timespan-up-"));
chmodSync(home, 0o755);

const ports: Record<string, number> = {};
for (const name of [
  "POSTGRES_PORT",
  "KAFKA_PORT",
  "REDIS_PORT",
  "PORT",
  "ERROR_STREAM_PORT",
  "STREAM_PROCESSOR_PORT",
]) {
  ports[name] = await findFreePort();
}

/** The variables of this process, but not those that would lead the stack to servers of somebody else. */
const environment: Record<string, string | undefined> = {
  ...process.env,
  DATABASE_URL: undefined,
  KAFKA_BROKERS: undefined,
  KAFKA_BROKERS_LOCAL: undefined,
  REDIS_HOST: undefined,
  TIMESPAN_HOME: home,
  TIMESPAN_DOCKER: "never",
  ...Object.fromEntries(Object.entries(ports).map(([name, port]) => [name, String(port)])),
};

interface Command {
  child: ChildProcess;
  /** Everything printed so far, on both outputs. */
  output(): string;
  /** Resolves with the exit code. */
  exit: Promise<number | null>;
}

const commands: Command[] = [];

function timespan(args: string[], more: Record<string, string> = {}): Command {
  const child = spawn(process.execPath, [MAIN, ...args], { env: { ...environment, ...more } });
  let text = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (text += chunk));
  const command = {
    child,
    output: () => text,
    exit: once(child, "close").then(([code]) => code as number | null),
  };
  commands.push(command);
  return command;
}

async function run(args: string[], more: Record<string, string> = {}) {
  const command = timespan(args, more);
  return { code: await command.exit, output: command.output() };
}

async function until(what: string, condition: () => boolean | Promise<boolean>, timeoutMs = 30_000) {
  const deadlineMs = Date.now() + timeoutMs;
  while (!(await condition())) {
    if (Date.now() > deadlineMs) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await Bun.sleep(50);
  }
}

function pids(): Map<string, number> {
  const dir = pidFilesDir(home);
  const records = readdirSync(dir).map((file) => readPidFile(join(dir, file)));
  return new Map(records.flatMap((record) => (record ? [[record.name, record.pid] as const] : [])));
}

async function expectNothingLeft(processes: ReadonlyMap<string, number>) {
  for (const pid of processes.values()) expect(processIdentity(pid)).toBeUndefined();
  expect(readdirSync(pidFilesDir(home))).toEqual([]);
  expect(existsSync(envFilePath(home))).toBe(false);
  for (const port of Object.values(ports)) expect(await portIsFree(port)).toBe(true);
}

const answers = (port: number | undefined, path: string) =>
  fetch(`http://127.0.0.1:${port}${path}`).then(
    ({ ok }) => ok,
    () => false,
  );

afterAll(async () => {
  await run(["down"]);
  for (const { child } of commands) child.kill("SIGKILL");
  rmSync(home, { recursive: true });
}, 60_000);

describe("up --detach", () => {
  let started: { code: number | null; output: string };
  beforeAll(async () => {
    started = await run(["up", "--detach"]);
  }, 180_000);

  test("returns when everything answers, and prints what was chosen and where it is", async () => {
    expect(started.output).toMatch(/^Database: .*\n/m);
    expect(started.output).toMatch(/^Kafka: .*\n/m);
    expect(started.output).toMatch(/^Redis: .*\n/m);
    expect(started.output).toMatch(/^Schema: (timescaledb|postgres), \d+ migrations applied\.$/m);
    expect(started.output).toContain(`Query API    http://127.0.0.1:${ports.PORT}`);
    expect(started.code).toBe(0);
    for (const name of ["PORT", "ERROR_STREAM_PORT", "STREAM_PROCESSOR_PORT"]) {
      expect(await answers(ports[name], "/ready")).toBe(true);
    }
  });

  test("writes the addresses to the env file, for its owner only", () => {
    const values = readEnvFile(home);
    expect(values).toMatchObject({
      KAFKA_BROKERS: `127.0.0.1:${ports.KAFKA_PORT}`,
      QUERY_API_URL: `http://127.0.0.1:${ports.PORT}`,
      ERROR_STREAM_URL: `ws://127.0.0.1:${ports.ERROR_STREAM_PORT}/ws/error-logs`,
    });
    expect(values?.DATABASE_URL).toMatch(
      new RegExp(`^postgres://timespan:[\\w-]{20,}@127\\.0\\.0\\.1:${ports.POSTGRES_PORT}/timespan$`),
    );
    expect(statSync(envFilePath(home)).mode & 0o777).toBe(0o600);
  });

  test("is refused for a home that is in use", async () => {
    const second = await run(["up"]);
    expect(second.code).toBe(1);
    expect(second.output).toContain(`A stack already runs in ${home}`);
    expect(second.output).toContain("→ Stop it with `bun run down`, or set TIMESPAN_HOME");
  });

  test("migrate finds the database of the running stack, and nothing to do", async () => {
    const { code, output } = await run(["migrate"]);
    expect(output).toMatch(/is up to date \((timescaledb|postgres), 0 applied\)/);
    expect(code).toBe(0);
  });

  test.each(["span", "log"] as const)("sample %s sends an event that the API then has", async (kind) => {
    const { code, output } = await run(["sample", kind]);
    expect(code).toBe(0);
    const traceId = /"trace_id":"([0-9a-f]{32})"/.exec(output)?.[1];
    await until("the sample arrives", async () => {
      const response = await fetch(`http://127.0.0.1:${ports.PORT}/query/traces/${traceId}`);
      return response.ok && (await response.text()).includes("sample-service");
    });
  });

  test("an app and a server that die are started again, and that is said", async () => {
    const before = pids();
    for (const name of ["query-api", "postgres"]) {
      process.kill(before.get(name) ?? 0, "SIGKILL");
      await until(
        `${name} has a new process`,
        () => ![undefined, before.get(name)].includes(pids().get(name)),
      );
      const log = readFileSync(join(home, "logs", "up.log"), "utf8");
      expect(log).toMatch(new RegExp(`^${name} ended \\(signal SIGKILL\\); starting it again in \\d`, "m"));
    }
    for (const name of ["PORT", "STREAM_PROCESSOR_PORT"]) {
      await until(`${name} is ready again`, () => answers(ports[name], "/ready"));
    }
  });

  test("down stops apps, Kafka, Redis and Postgres in this order, and leaves nothing", async () => {
    const processes = pids();
    const gone: string[] = [];
    const down = run(["down"]);
    while (gone.length < processes.size) {
      for (const [name, pid] of processes) {
        if (!gone.includes(name) && processIdentity(pid) === undefined) gone.push(name);
      }
      await Bun.sleep(2);
    }
    const servers = ["kafka", "redis", "postgres"].filter((name) => processes.has(name));
    expect(gone.slice(-servers.length)).toEqual(servers);
    expect(await down).toMatchObject({ code: 0, output: expect.stringContaining("Stopped.") });
    await expectNothingLeft(processes);
  }, 60_000);

  test("down with nothing running says so and is content", async () => {
    expect(await run(["down"])).toEqual({ code: 0, output: `Nothing is running in ${home}.\n` });
  });
});

describe("demo", () => {
  test("prints three commands, keeps its data from before, and a second signal ends it at once", async () => {
    const demo = timespan(["demo", "--rate", "5"]);
    await until("traffic flows", () => demo.output().includes("Traffic is flowing"), 90_000);
    expect(demo.output()).toMatch(/^Schema: (timescaledb|postgres), up to date\.$/m);
    expect(demo.output()).toMatch(/^ {4}curl -s 'http/m);
    expect(demo.output()).toMatch(/^ {4}.*SELECT service_name.*FROM apm\.spans/m);
    expect(demo.output()).toMatch(/^ {4}.*new WebSocket\("ws:/m);
    const processes = pids();
    expect([...processes.keys()]).toContain("demo-traffic");
    // A process that cannot react holds the clean stop up.
    process.kill(processes.get("query-api") ?? 0, "SIGSTOP");
    demo.child.kill("SIGINT");
    await until("it is stopping", () => demo.output().includes("Ctrl-C again ends everything at once"));
    await Bun.sleep(1_000);
    expect(demo.child.exitCode).toBeNull();
    demo.child.kill("SIGINT");
    expect(await demo.exit).toBe(130);
    await until("nothing is left", () =>
      [...processes.values()].every((pid) => processIdentity(pid) === undefined),
    );
    expect(existsSync(envFilePath(home))).toBe(false);
  }, 120_000);
});

describe("an app that does not start", () => {
  test("is named with the end of its log, and everything else is stopped", async () => {
    const { code, output } = await run(["up"], { BULK_BATCH_SIZE: "plenty" });
    expect(code).toBe(1);
    expect(output).toContain("stream-processor ended 3 times while starting. The end of its log:");
    expect(output).toContain("BULK_BATCH_SIZE must be a whole number");
    await expectNothingLeft(new Map());
  }, 120_000);
});
