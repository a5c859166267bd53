import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { pingCache } from "@timespan/cache/ping-cache";
import { type Clock, systemClock } from "@timespan/runtime/clock";
import type { Environment } from "@timespan/runtime/settings";
import { findProgram } from "./find-program.ts";
import { choosePort, LOOPBACK, type PortChoice, portTaken } from "./free-port.ts";
import { LocalServer } from "./local-server.ts";
import { startProcess } from "./start-process.ts";
import { pidFilesDir } from "./stop-leftovers.ts";

const PORT_VARIABLE = "REDIS_PORT";
/** It only ever holds answers that live for seconds. */
const MEMORY_MAX = "64mb";
const READY_TIMEOUT_MS = 15_000;
const STOP_GRACE_MS = 5_000;

export interface RedisOptions {
  /** Absolute. */
  home: string;
  environment: Environment;
  port: PortChoice;
  /** Why this one, for the line that says what was chosen. */
  why: string;
}

/**
 * The machine's `redis-server` as a cache that keeps nothing on disk; not yet started when this resolves, and
 * undefined when the machine has none.
 * @throws {StackError} when the port is taken
 */
export async function createRedis(
  options: RedisOptions,
  clock: Clock = systemClock,
): Promise<{ server: LocalServer; host: string; port: number } | undefined> {
  const { home, environment } = options;
  const command = findProgram("redis-server", environment);
  if (command === undefined) return undefined;
  const port = await choosePort(options.port, "Redis", PORT_VARIABLE);
  const dir = join(home, "redis");
  const logFile = join(home, "logs", "redis.log");
  const server = new LocalServer(
    {
      name: "redis",
      choice: `Redis: ${command} on port ${port}, ${options.why}`,
      logFile,
      readyTimeoutMs: READY_TIMEOUT_MS,
      async launch() {
        mkdirSync(dir, { recursive: true });
        return startProcess(
          {
            name: "redis",
            command,
            args: [
              ...["--port", String(port), "--bind", LOOPBACK, "--dir", dir, "--daemonize", "no"],
              ...["--save", "", "--appendonly", "no"],
              ...["--maxmemory", MEMORY_MAX, "--maxmemory-policy", "allkeys-lru"],
            ],
            environment,
            cwd: dir,
            logFile,
            pidFile: join(pidFilesDir(home), "redis.json"),
            stop: { signal: "SIGTERM", graceMs: STOP_GRACE_MS, lastSignal: "SIGKILL" },
          },
          clock,
        );
      },
      ping: () => pingCache({ host: LOOPBACK, port }),
      explain: (log) =>
        /Address already in use/.test(log) ? portTaken(port, "Redis", PORT_VARIABLE) : undefined,
    },
    clock,
  );
  return { server, host: LOOPBACK, port };
}
