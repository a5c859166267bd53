/**
 * The servers that Timespan needs, found or started on this machine, for `timespan up` and for the test runner:
 *
 *   const stack = await startStack({ home, environment: process.env, report: console.log, ports: autoPorts });
 *   stack.databaseUrl, stack.kafkaBrokers, stack.redis, stack.env      // where they are
 *   stack.postgres.pid, await stack.postgres.stop(), .start()          // the same data and port again
 *   await stack.stop();                                                // Kafka, Redis, Postgres
 *
 * Two database engines side by side: two stacks with two homes, the second with `database: "embedded"` (or
 * "installed-timescaledb", see `findTimescaledb`) and `given: { kafkaBrokers: first.kafkaBrokers }`.
 */
import { mkdirSync } from "node:fs";
import { isAbsolute } from "node:path";
import { type BrokerSecurity, pingBroker } from "@timespan/broker/ping-broker";
import { pingCache } from "@timespan/cache/ping-cache";
import { type Clock, systemClock } from "@timespan/runtime/clock";
import type { Environment } from "@timespan/runtime/settings";
import { pingDatabase } from "@timespan/store/ping-database";
import { diskFull, requireDiskSpace } from "./disk-space.ts";
import { createDockerStack, type DockerStack, dockerAnswers } from "./docker.ts";
import { findEmbeddedPostgres } from "./find-embedded-postgres.ts";
import { findTimescaledb } from "./find-timescaledb.ts";
import { choosePort, LOOPBACK, type PortChoice } from "./free-port.ts";
import { holdHome } from "./home.ts";
import { createKafka } from "./kafka.ts";
import { foreignServer, type Server, type ServerName } from "./local-server.ts";
import type { PostgresBinaries } from "./postgres-binaries.ts";
import { createPostgresCluster } from "./postgres-cluster.ts";
import { createRedis } from "./redis.ts";
import { joinStackErrors, StackError, StackStartAborted } from "./stack-error.ts";
import { stopLeftovers } from "./stop-leftovers.ts";

export const DEFAULT_PORTS = { postgres: 5433, kafka: 9092, redis: 6380 } as const satisfies Record<
  ServerName,
  number
>;

/** Any free ports: for tests and further stacks. */
export const autoPorts = { postgres: "auto", kafka: "auto", redis: "auto" } as const satisfies Record<
  ServerName,
  PortChoice
>;

export interface RedisAddress {
  host: string;
  port: number;
}

export interface StackOptions {
  /** Absolute folder of all state: data, logs, pid files. One stack at a time runs in it. */
  home: string;
  /** For finding programs (PATH, JAVA_HOME) and for the servers themselves. */
  environment: Environment;
  /** {@link DEFAULT_PORTS} where absent. */
  ports?: Partial<Record<ServerName, PortChoice>>;
  /** Servers that run already: used as they are, never started or stopped. */
  given?: {
    databaseUrl?: string | undefined;
    kafkaBrokers?: readonly string[] | undefined;
    /** How to reach {@link kafkaBrokers} when they want TLS or a login. */
    kafkaSecurity?: BrokerSecurity | undefined;
    redis?: RedisAddress | undefined;
  };
  /** Ports that the processes around this stack will listen on: a taken one is better known before the start. */
  appPorts?: readonly { name: string; port: number; variable: string }[];
  /** "best" (default): Docker, else an installed TimescaleDB, else embedded. The others are for tests. */
  database?: "best" | "installed-timescaledb" | "embedded";
  /** "auto" (default) uses a Docker engine that answers, for the services of `composeFile`. */
  docker?: "auto" | "never";
  composeFile?: string;
  /** `TIMESPAN_PG_BIN`: the folder with initdb and postgres of the TimescaleDB to use. */
  pgBin?: string | undefined;
  /** Takes one plain line per server, saying which was chosen and why, and what else a person should know. */
  report(line: string): void;
  /** Takes what is going on right now; each line replaces the one before. */
  progress?(line: string): void;
  /** Calls the start off: everything started so far is stopped, and the start rejects. */
  signal?: AbortSignal;
  clock?: Clock;
}

export interface Stack {
  readonly databaseUrl: string;
  readonly kafkaBrokers: readonly string[];
  /** Undefined when there is no cache. */
  readonly redis: RedisAddress | undefined;
  readonly postgres: Server;
  readonly kafka: Server;
  readonly redisServer: Server | undefined;
  /** `DATABASE_URL`, `KAFKA_BROKERS` and, with a cache, `REDIS_HOST` and `REDIS_PORT`. */
  readonly env: Readonly<Record<string, string>>;
  /** Stops what was started: Kafka, Redis, Postgres; then gives the home free. */
  stop(): Promise<void>;
  /** Ends what was started by force, at once, for the second Ctrl-C. */
  kill(): void;
}

/** One server before it is started, with the address that others will use. */
interface Planned<Address> {
  server: Server;
  address: Address;
}

/**
 * Finds or starts Postgres, Kafka and Redis. What is missing is found out before anything is started.
 * @throws {StackError} saying what is wrong and what to do; nothing is left running then
 * @throws {StackStartAborted} when `signal` aborted; nothing is left running then
 */
export async function startStack(options: StackOptions): Promise<Stack> {
  const { home, report, signal, clock = systemClock } = options;
  if (!isAbsolute(home)) throw new Error(`the home of a stack must be an absolute path: ${home}`);
  mkdirSync(home, { recursive: true });
  const releaseHome = holdHome(home);
  const started: Server[] = [];
  try {
    await stopLeftovers(home, report, clock);
    await requireDiskSpace(home);
    const { postgres, kafka, redis, docker } = await planServers(options, clock);
    if (signal?.aborted) throw new StackStartAborted();
    for (const { server } of [postgres, kafka, redis]) report(server.choice);
    started.push(postgres.server, redis.server, kafka.server);

    // One that fails calls the others off: nobody waits a minute for a start that cannot succeed.
    const failed = new AbortController();
    const callOff = AbortSignal.any([failed.signal, ...(signal ? [signal] : [])]);
    options.progress?.("Starting Postgres, Kafka and Redis");
    const starts = [
      docker?.start(callOff),
      ...started.filter((server) => !docker?.servers.includes(server)).map((server) => server.start(callOff)),
    ];
    const results = await Promise.allSettled(
      starts.map((start) =>
        start?.catch((error: unknown) => {
          failed.abort();
          throw error;
        }),
      ),
    );
    throwFirstReason(results);

    const env: Record<string, string> = {
      DATABASE_URL: postgres.address,
      KAFKA_BROKERS: kafka.address.join(","),
      ...(redis.address && { REDIS_HOST: redis.address.host, REDIS_PORT: String(redis.address.port) }),
    };
    return {
      databaseUrl: postgres.address,
      kafkaBrokers: kafka.address,
      redis: redis.address,
      postgres: postgres.server,
      kafka: kafka.server,
      redisServer: redis.address && redis.server,
      env,
      async stop() {
        await stopInReverse(started);
        releaseHome();
      },
      kill() {
        for (const server of started) server.kill();
        releaseHome();
      },
    };
  } catch (error) {
    await stopInReverse(started);
    releaseHome();
    const full = error instanceof Error && "code" in error && error.code === "ENOSPC";
    throw full ? diskFull(home, error.message) : error;
  }
}

/** Kafka, Redis, Postgres: the reverse of the order of start. One that fails to stop does not keep the others. */
async function stopInReverse(servers: readonly Server[]): Promise<void> {
  for (const server of servers.toReversed()) {
    await server.stop().catch(() => server.kill());
  }
}

async function planServers(options: StackOptions, clock: Clock) {
  const docker = await planDocker(options, clock);
  const results = await Promise.allSettled([
    planPostgres(options, docker, clock),
    planKafka(options, docker, clock),
    planRedis(options, docker, clock),
    ...(options.appPorts ?? []).map(({ name, port, variable }) => choosePort(port, name, variable)),
  ]);
  throwFirstReason(results);
  const [postgres, kafka, redis] = results;
  if (postgres.status === "rejected" || kafka.status === "rejected" || redis.status === "rejected") {
    throw firstReason(results);
  }
  return { postgres: postgres.value, kafka: kafka.value, redis: redis.value, docker };
}

/** Undefined when nothing is wanted from Docker, or no engine answers. */
async function planDocker(options: StackOptions, clock: Clock): Promise<DockerStack | undefined> {
  const { home, environment, given, composeFile, database = "best" } = options;
  if (options.docker === "never" || composeFile === undefined) return undefined;
  const names: ServerName[] = [];
  if (given?.databaseUrl === undefined && database === "best") names.push("postgres");
  if (given?.kafkaBrokers === undefined) names.push("kafka");
  if (given?.redis === undefined) names.push("redis");
  if (names.length === 0 || !(await dockerAnswers(environment))) return undefined;
  const ports = { ...DEFAULT_PORTS, ...options.ports };
  const progress = options.progress ?? (() => {});
  return createDockerStack({ home, environment, composeFile, names, ports, progress }, clock);
}

async function planPostgres(
  options: StackOptions,
  docker: DockerStack | undefined,
  clock: Clock,
): Promise<Planned<string>> {
  const { home, environment, given, report, progress = () => {} } = options;
  if (given?.databaseUrl !== undefined) {
    const address = given.databaseUrl;
    const place = URL.canParse(address) ? new URL(address).host : "the given address";
    const { serverVersion } = await pingGiven("DATABASE_URL", place, () => pingDatabase(address));
    const choice = `Database: PostgreSQL ${serverVersion} at ${place}, because DATABASE_URL is set.`;
    return { server: foreignServer("postgres", choice), address };
  }
  const fromDocker = docker?.servers.find(({ name }) => name === "postgres");
  if (docker !== undefined && fromDocker !== undefined) {
    return { server: fromDocker, address: docker.databaseUrl };
  }
  const { binaries, why } = await choosePostgres(options);
  const port = options.ports?.postgres ?? DEFAULT_PORTS.postgres;
  const cluster = await createPostgresCluster(
    { home, environment, port, binaries, why, report, progress },
    clock,
  );
  return { server: cluster.server, address: cluster.databaseUrl };
}

async function choosePostgres(options: StackOptions): Promise<{ binaries: PostgresBinaries; why: string }> {
  const { environment, pgBin, database = "best" } = options;
  if (database === "embedded") {
    return { binaries: await findEmbeddedPostgres(environment), why: "because it was asked for." };
  }
  const { found, rejected } = await findTimescaledb({ environment, pgBin });
  if (found !== undefined) {
    const why =
      pgBin === undefined ? "because it is installed on this machine" : "because TIMESPAN_PG_BIN names it";
    return { binaries: found, why: `${why}; its cluster is private to this stack.` };
  }
  const others = rejected.length > 0 ? ` (${rejected.join("; ")})` : "";
  if (database === "installed-timescaledb") {
    throw new StackError(
      `This machine has no PostgreSQL with TimescaleDB Community${others}.`,
      "Install TimescaleDB, or set TIMESPAN_PG_BIN to the folder of its initdb and postgres.",
    );
  }
  return {
    binaries: await findEmbeddedPostgres(environment),
    why:
      `because this machine has no PostgreSQL with TimescaleDB Community${others}: ` +
      "rollups are computed at query time, TimescaleDB is the engine for real volumes.",
  };
}

async function planKafka(
  options: StackOptions,
  docker: DockerStack | undefined,
  clock: Clock,
): Promise<Planned<readonly string[]>> {
  const { home, environment, given, progress = () => {} } = options;
  if (given?.kafkaBrokers !== undefined) {
    const address = given.kafkaBrokers;
    await pingGiven("KAFKA_BROKERS", address.join(","), () => pingBroker(address, given.kafkaSecurity));
    const choice = `Kafka: ${address.join(",")}, because KAFKA_BROKERS is set.`;
    return { server: foreignServer("kafka", choice), address };
  }
  const fromDocker = docker?.servers.find(({ name }) => name === "kafka");
  if (docker !== undefined && fromDocker !== undefined) {
    return { server: fromDocker, address: [`${LOOPBACK}:${docker.ports.kafka}`] };
  }
  const port = options.ports?.kafka ?? DEFAULT_PORTS.kafka;
  const why = `because KAFKA_BROKERS is not set and ${noDocker(options)}.`;
  const { server, brokers } = await createKafka({ home, environment, port, why, progress }, clock);
  return { server, address: brokers };
}

async function planRedis(
  options: StackOptions,
  docker: DockerStack | undefined,
  clock: Clock,
): Promise<Planned<RedisAddress | undefined>> {
  const { home, environment, given } = options;
  if (given?.redis !== undefined) {
    const address = given.redis;
    const place = `${address.host}:${address.port}`;
    await pingGiven("REDIS_HOST", place, () => pingCache(address));
    return { server: foreignServer("redis", `Redis: ${place}, because REDIS_HOST is set.`), address };
  }
  const fromDocker = docker?.servers.find(({ name }) => name === "redis");
  if (docker !== undefined && fromDocker !== undefined) {
    return { server: fromDocker, address: { host: LOOPBACK, port: docker.ports.redis } };
  }
  const port = options.ports?.redis ?? DEFAULT_PORTS.redis;
  const why = `because REDIS_HOST is not set and ${noDocker(options)}.`;
  const redis = await createRedis({ home, environment, port, why }, clock);
  if (redis === undefined) {
    const choice = "Redis: none, because no redis-server is on PATH; answers are not cached.";
    return { server: foreignServer("redis", choice), address: undefined };
  }
  return { server: redis.server, address: { host: redis.host, port: redis.port } };
}

function noDocker(options: StackOptions): string {
  return options.docker === "never" ? "Docker is not to be used" : "no Docker engine answers";
}

/** A server that was given must answer: it is better to hear so now than from an app that never gets ready. */
async function pingGiven<T>(variable: string, place: string, ping: () => Promise<T>): Promise<T> {
  try {
    return await ping();
  } catch (cause) {
    const detail = cause instanceof Error && cause.message !== "" ? `: ${cause.message}` : "";
    throw new StackError(
      `${variable} is set, but ${place} does not answer${detail}.`,
      `Start that server, correct ${variable}, or unset it to let Timespan find or start one.`,
      { cause },
    );
  }
}

/** Throws when a result is a rejection; see {@link firstReason}. */
function throwFirstReason(results: readonly PromiseSettledResult<unknown>[]): void {
  if (results.some(({ status }) => status === "rejected")) throw firstReason(results);
}

/** A bug before everything else; then what a person can mend, all of it; then the interruption. */
function firstReason(results: readonly PromiseSettledResult<unknown>[]): unknown {
  const reasons = results.flatMap((result) => (result.status === "rejected" ? [result.reason] : []));
  const stackErrors = reasons.filter((reason) => reason instanceof StackError);
  const bug = reasons.find(
    (reason) => !(reason instanceof StackError || reason instanceof StackStartAborted),
  );
  return bug ?? joinStackErrors(stackErrors) ?? reasons[0];
}
