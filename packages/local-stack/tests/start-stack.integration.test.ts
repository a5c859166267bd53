import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { migrate } from "@timespan/store/migrate";
import { pingDatabase } from "@timespan/store/ping-database";
import { findProgram } from "../src/find-program.ts";
import { findTimescaledb } from "../src/find-timescaledb.ts";
import { findFreePort, portIsFree } from "../src/free-port.ts";
import { homeHash } from "../src/home.ts";
import { processCommand, processIdentity } from "../src/process-identity.ts";
import { StackError, StackStartAborted } from "../src/stack-error.ts";
import { autoPorts, type Stack, type StackOptions, startStack } from "../src/start-stack.ts";
import { pidFilesDir } from "../src/stop-leftovers.ts";

const root = mkdtempSync(join(tmpdir(), "timespan-stack-"));
chmodSync(root, 0o755);
const environment = process.env;
const timescaledb = (await findTimescaledb({ environment })).found;

/** The one stack with a Kafka of its own; the others share it, to be quick. */
let main: Stack;
const mainLines: string[] = [];
const mainHome = join(root, "main");

beforeAll(async () => {
  main = await startStack({
    home: mainHome,
    environment,
    ports: autoPorts,
    docker: "never",
    report: (line) => mainLines.push(line),
  });
}, 120_000);

afterAll(async () => {
  await main?.stop();
  rmSync(root, { recursive: true });
}, 60_000);

/** Options of a quick stack: embedded database, the Kafka of the main stack, a Redis of its own. */
function quick(
  name: string,
  more: Partial<StackOptions> = {},
): StackOptions & { home: string; lines: string[] } {
  const lines: string[] = [];
  return {
    home: join(root, name),
    environment,
    ports: autoPorts,
    docker: "never",
    database: "embedded",
    given: { kafkaBrokers: main.kafkaBrokers },
    report: (line) => lines.push(line),
    lines,
    ...more,
  };
}

async function failure(options: StackOptions): Promise<StackError> {
  const error = await startStack(options).then(
    (stack) => stack.stop().then(() => new Error("it started")),
    (reason) => reason,
  );
  if (!(error instanceof StackError)) throw error;
  return error;
}

/** Nothing that this home started runs any more, and the home can be used again. */
function expectNothingLeft(home: string): void {
  const pidFiles = existsSync(pidFilesDir(home)) ? readdirSync(pidFilesDir(home)) : [];
  expect(pidFiles).toEqual([]);
  expect(existsSync(join(home, "timespan.pid"))).toBe(false);
}

/** A folder for PATH that holds these programs of the machine, and these scripts. */
function pathOf(name: string, programs: readonly string[], scripts: Record<string, string> = {}): string {
  const dir = join(root, `path-${name}`);
  mkdirSync(dir);
  for (const program of programs) {
    const found = findProgram(program, environment);
    if (found !== undefined) symlinkSync(found, join(dir, program));
  }
  for (const [script, text] of Object.entries(scripts)) {
    writeFileSync(join(dir, script), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
  }
  return dir;
}

describe("a whole stack", () => {
  test("says in one line each what was chosen and why", () => {
    const [database, kafka, redis] = mainLines;
    if (timescaledb === undefined) {
      expect(database).toMatch(
        /^Database: embedded PostgreSQL 18\.\S+ from npm .*TimescaleDB is the engine for real volumes\.$/,
      );
    } else {
      expect(database).toMatch(
        /^Database: TimescaleDB \S+ on the PostgreSQL \S+ of \S+ on port \d+, because it is installed/,
      );
    }
    expect(kafka).toMatch(
      /^Kafka: Apache Kafka 4\.\S+ on Java \d+ on port \d+, because KAFKA_BROKERS is not set and /,
    );
    expect(redis).toMatch(/^Redis: (\S*redis-server on port \d+, because|none, because no redis-server)/);
    expect(mainLines).toHaveLength(3);
  });

  test("answers at the addresses it gives, and names its processes", async () => {
    expect(main.env.DATABASE_URL).toBe(main.databaseUrl);
    expect(main.env.KAFKA_BROKERS).toBe(main.kafkaBrokers.join(","));
    expect((await pingDatabase(main.databaseUrl)).serverVersion).toMatch(/^1\d\./);
    for (const server of [main.postgres, main.kafka]) {
      expect(processIdentity(server.pid ?? 0)).toBeDefined();
      expect(existsSync(join(pidFilesDir(mainHome), `${server.name}.json`))).toBe(true);
    }
    expect(processCommand(main.kafka.pid ?? 0)).toContain("-Xmx512m");
  });

  test("listens on loopback only, and keeps its password to its owner", () => {
    const [password] = readdirSync(mainHome).filter((file) => file.endsWith(".password"));
    expect(statSync(join(mainHome, password ?? "")).mode & 0o777).toBe(0o600);
    const settings = readFileSync(join(mainHome, "kafka", "server.properties"), "utf8");
    expect(settings).toMatch(/^listeners=PLAINTEXT:\/\/127\.0\.0\.1:\d+,CONTROLLER:\/\/127\.0\.0\.1:\d+$/m);
  });

  test("does not share its home with another", async () => {
    const error = await failure({ ...quick("unused"), home: mainHome });
    expect(error.what).toContain(`process ${process.pid}`);
    expect(error.remedy).toContain("TIMESPAN_HOME");
    expect(processIdentity(main.postgres.pid ?? 0)).toBeDefined();
  });

  test("stops and starts one server again on the same port", async () => {
    await main.postgres.stop();
    expect(main.postgres.pid).toBeUndefined();
    expect(pingDatabase(main.databaseUrl)).rejects.toThrow();
    await main.postgres.start();
    await pingDatabase(main.databaseUrl);
  });
});

describe("a home that is used again", () => {
  test("keeps its data, and takes over from a supervisor that was killed", async () => {
    const options = quick("again");
    // The first stack lives in a process of its own, which is killed while everything runs.
    const script = join(root, "start-and-wait.ts");
    const module = JSON.stringify(join(import.meta.dir, "../src/start-stack.ts"));
    const given = {
      home: options.home,
      ports: autoPorts,
      docker: "never",
      database: "embedded",
      given: options.given,
    };
    writeFileSync(
      script,
      `const { startStack } = await import(${module});
       const stack = await startStack({ ...${JSON.stringify(given)}, environment: process.env, report() {} });
       console.log(JSON.stringify({ url: stack.databaseUrl, pids: [stack.postgres.pid, stack.redisServer?.pid] }));
       setInterval(() => {}, 1_000);`,
    );
    const child = spawn(process.execPath, [script], { stdio: ["ignore", "pipe", "inherit"] });
    const [line] = (await once(child.stdout, "data")) as [Buffer];
    const { url, pids } = JSON.parse(line.toString()) as { url: string; pids: (number | null)[] };
    const { applied } = await migrate({ databaseUrl: url });
    expect(applied.length).toBeGreaterThan(0);
    child.kill("SIGKILL");
    await once(child, "exit");
    expect(processIdentity(pids[0] ?? 0)).toBeDefined();

    const stack = await startStack(options);
    try {
      expect(options.lines.join("\n")).toMatch(
        /Stopping postgres \(process \d+\), left running by an earlier stack/,
      );
      for (const pid of pids) expect(processIdentity(pid ?? 0)).toBeUndefined();
      expect((await migrate({ databaseUrl: stack.databaseUrl })).applied).toEqual([]);
    } finally {
      await stack.stop();
    }
    expectNothingLeft(options.home);
  });

  test("with the data of another major version is an error that says so", async () => {
    const options = quick("again");
    const data = readdirSync(options.home).find((file) => /^postgres-\d+-embedded$/.test(file)) ?? "";
    renameSync(join(options.home, data), join(options.home, "postgres-16-embedded"));
    const error = await failure(options);
    expect(error.what).toMatch(
      /postgres-16-embedded holds data of PostgreSQL 16, but the PostgreSQL found is 18/,
    );
    expect(error.remedy).toContain("remove that folder to start empty");
    renameSync(join(options.home, "postgres-16-embedded"), join(options.home, data));
    writeFileSync(join(options.home, data, "PG_VERSION"), "15\n");
    expect((await failure(options)).what).toContain("holds data of PostgreSQL 15");
    expectNothingLeft(options.home);
  });
});

describe("what is missing or in the way", () => {
  test("every taken port is named with its variable, before anything starts", async () => {
    const blocker = createServer().listen(0, "127.0.0.1");
    await once(blocker, "listening");
    const address = blocker.address();
    const port = typeof address === "object" && address ? address.port : 0;
    const options = quick("taken", {
      ports: { postgres: port, kafka: "auto", redis: "auto" },
      appPorts: [{ name: "query-api", port, variable: "PORT" }],
    });
    const error = await failure(options);
    blocker.close();
    expect(error.what).toContain(`Port ${port} on 127.0.0.1 is taken, so Postgres cannot listen there.`);
    expect(error.what).toContain("so query-api cannot listen there.");
    expect(error.remedy).toContain("set POSTGRES_PORT to a free port");
    expect(error.remedy).toContain("set PORT to a free port");
    expect(readdirSync(options.home).filter((file) => file.startsWith("postgres"))).toEqual([]);
    expectNothingLeft(options.home);
  });

  test("a machine without Java and Maven hears of both", async () => {
    const PATH = pathOf("no-java", ["sh", "id"]);
    const options = quick("no-java", { environment: { PATH }, given: {} });
    const error = await failure(options);
    expect(error.what).toMatch(/Kafka needs Java.*\n.*no mvn on PATH/);
    expect(error.remedy).toContain("openjdk-17");
    expectNothingLeft(options.home);
  });

  test("an old Java is not used, and named", async () => {
    const java = "echo 'openjdk version \"11.0.2\" 2019-01-15' >&2";
    const PATH = pathOf("old-java", ["sh", "id", "mvn"], { java });
    const error = await failure(quick("old-java", { environment: { PATH }, given: {} }));
    expect(error.what).toMatch(/Kafka needs Java 17 or newer: .*\/java is Java 11\./);
  });

  test("a machine without redis-server has no cache, and is told so", async () => {
    const options = quick("no-redis", { environment: { PATH: pathOf("no-redis", ["sh", "id"]) } });
    const stack = await startStack(options);
    await stack.stop();
    expect(stack.redis).toBeUndefined();
    expect(stack.env.REDIS_HOST).toBeUndefined();
    expect(options.lines).toContain(
      "Redis: none, because no redis-server is on PATH; answers are not cached.",
    );
    expect(options.lines).toContain(`Kafka: ${main.kafkaBrokers.join(",")}, because KAFKA_BROKERS is set.`);
  });

  test("a given server that does not answer is named, without its password", async () => {
    const port = await findFreePort();
    const databaseUrl = `postgres://me:secret@127.0.0.1:${port}/db`;
    const error = await failure(
      quick("given", { given: { databaseUrl, kafkaBrokers: [`127.0.0.1:${port}`] } }),
    );
    expect(error.what).toContain(`DATABASE_URL is set, but 127.0.0.1:${port} does not answer`);
    expect(error.what).toContain(`KAFKA_BROKERS is set, but 127.0.0.1:${port} does not answer`);
    expect(error.message).not.toContain("secret");
  });
});

describe("a start that does not succeed leaves nothing running", () => {
  test("when one server ends while starting", async () => {
    const PATH = pathOf("broken-redis", ["sh", "id", "sleep"], {
      "redis-server": "sleep 1; echo no luck; exit 3",
    });
    const port = await findFreePort();
    const options = quick("broken-redis", { environment: { PATH }, ports: { ...autoPorts, postgres: port } });
    const error = await failure(options);
    expect(error.what).toBe("redis ended while starting. The end of its log:\nno luck");
    expect(error.remedy).toContain("redis.log");
    expect(await portIsFree(port)).toBe(true);
    expectNothingLeft(options.home);
  });

  test("when it is called off", async () => {
    const PATH = pathOf("slow-redis", ["sh", "id", "sleep"], { "redis-server": "exec sleep 60" });
    const port = await findFreePort();
    const stop = new AbortController();
    const options = quick("slow-redis", {
      environment: { PATH },
      ports: { ...autoPorts, postgres: port },
      signal: stop.signal,
    });
    const start = startStack(options);
    while (await portIsFree(port)) await Bun.sleep(20);
    stop.abort();
    expect(start).rejects.toBeInstanceOf(StackStartAborted);
    await start.catch(() => {});
    expect(await portIsFree(port)).toBe(true);
    expectNothingLeft(options.home);
  });
});

describe("two engines", () => {
  test.skipIf(timescaledb === undefined)("run side by side, each as what it is", async () => {
    const options = quick("side-by-side");
    const embedded = await startStack(options);
    try {
      expect(options.lines[0]).toMatch(
        /^Database: embedded PostgreSQL 18\.\S+ from npm on port \d+, because it was asked for\.$/,
      );
      expect((await migrate({ databaseUrl: embedded.databaseUrl })).engine).toBe("postgres");
      expect((await migrate({ databaseUrl: main.databaseUrl })).engine).toBe("timescaledb");
    } finally {
      await embedded.stop();
    }
  });
});

describe("as root", () => {
  const asRoot = process.getuid?.() === 0;

  test.skipIf(!asRoot)("Postgres runs as another user", () => {
    expect(statSync(`/proc/${main.postgres.pid}`).uid).not.toBe(0);
  });

  test.skipIf(!asRoot)(
    "a home that user cannot reach keeps its database under /var/lib/timespan",
    async () => {
      const closed = join(root, "closed");
      mkdirSync(closed, { mode: 0o700 });
      const options = quick("closed/home");
      const place = join("/var/lib/timespan", homeHash(options.home));
      try {
        const first = await startStack(options);
        await migrate({ databaseUrl: first.databaseUrl });
        await first.stop();
        expect(options.lines[0]).toMatch(
          /^Postgres runs as user \w+, who may not enter .*: its data lies in \/var\/lib\/timespan/,
        );
        expect(readdirSync(options.home).filter((file) => /^postgres-\d+-\w+$/.test(file))).toEqual([]);
        const second = await startStack(options);
        expect((await migrate({ databaseUrl: second.databaseUrl })).applied).toEqual([]);
        await second.stop();

        // Kafka's offsets are gone with the home; rows that remember them must not stay in use.
        rmSync(options.home, { recursive: true });
        const third = await startStack(options);
        expect((await migrate({ databaseUrl: third.databaseUrl })).applied).not.toEqual([]);
        await third.stop();
        expect(options.lines.join("\n")).toContain("The database of a deleted home was put aside");
      } finally {
        rmSync(place, { recursive: true, force: true });
      }
    },
  );
});

describe("Docker", () => {
  test("an engine that answers gives the services, asked for with this home's project and ports", async () => {
    const log = join(root, "docker.log");
    const docker = `echo "$@ [$POSTGRES_PORT $KAFKA_PORT]" >> ${log}\ncase "$1" in info) echo 29.0 ;; esac`;
    const options = quick("docker", {
      environment: { PATH: pathOf("docker", ["sh", "id"], { docker }) },
      ports: { postgres: 15433, kafka: 19092, redis: 16380 },
      database: "best",
      docker: "auto",
      composeFile: "/repository/compose.yaml",
      given: {},
    });
    const stack = await startStack(options);
    expect(stack.databaseUrl).toMatch(/^postgres:\/\/timespan:\S{20,}@127\.0\.0\.1:15433\/timespan$/);
    expect(stack.kafkaBrokers).toEqual(["127.0.0.1:19092"]);
    expect(stack.redis).toEqual({ host: "127.0.0.1", port: 16380 });
    await stack.stop();
    const compose = `compose -p timespan-${homeHash(options.home)} -f /repository/compose.yaml`;
    expect(readFileSync(log, "utf8").trim().split("\n")).toEqual([
      "info --format {{.ServerVersion}} [ ]",
      "compose version [ ]",
      `${compose} up -d --wait timescaledb kafka redis [15433 19092]`,
      `${compose} stop kafka [15433 19092]`,
      `${compose} stop redis [15433 19092]`,
      `${compose} stop timescaledb [15433 19092]`,
    ]);
    expect(options.lines[0]).toBe(
      "Database: service timescaledb of compose.yaml on port 15433, because a Docker engine answers.",
    );
  });

  test("a compose that fails says why, and stops what it started", async () => {
    const docker = `case "$1 $6" in "info "*) echo 29.0 ;; "compose up") echo "no space on the registry"; exit 1 ;; esac`;
    const options = quick("docker-fails", {
      environment: { PATH: pathOf("docker-fails", ["sh", "id"], { docker }) },
      database: "best",
      docker: "auto",
      composeFile: "/repository/compose.yaml",
      given: {},
    });
    const error = await failure(options);
    expect(error.what).toContain("no space on the registry");
    expect(error.remedy).toContain("TIMESPAN_DOCKER=never");
    expectNothingLeft(options.home);
  });
});
