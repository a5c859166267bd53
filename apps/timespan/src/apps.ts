import { join, resolve } from "node:path";
import { type RunningProcess, startProcess } from "@timespan/local-stack/start-process";
import { pidFilesDir } from "@timespan/local-stack/stop-leftovers";
import type { Environment } from "@timespan/runtime/settings";
import { type Config, REPOSITORY } from "./config.ts";
import type { Part } from "./supervise.ts";

/** A clean stop finishes the batches it holds; who takes longer is ended by force. */
const STOP_GRACE_MS = 20_000;

export interface App {
  name: string;
  /** Path in the repository. */
  main: string;
  /** Its `/health` and `/ready`; undefined for one that serves nothing. */
  port?: number;
  portVariable?: string;
}

/** The three processes of Timespan, in the order in which they are listed to a person. */
export function timespanApps({ appPorts }: Config): (App & { port: number; portVariable: string })[] {
  return [
    {
      name: "stream-processor",
      main: "apps/stream-processor/src/main.ts",
      port: appPorts.streamProcessor,
      portVariable: "STREAM_PROCESSOR_PORT",
    },
    { name: "query-api", main: "apps/query-api/src/main.ts", port: appPorts.queryApi, portVariable: "PORT" },
    {
      name: "error-stream",
      main: "apps/error-stream/src/main.ts",
      port: appPorts.errorStream,
      portVariable: "ERROR_STREAM_PORT",
    },
  ];
}

/** The base address of an app for a client on this machine. */
export function appUrl({ host }: Config, port: number): string {
  const reachable = host === "0.0.0.0" || host === "::" ? "127.0.0.1" : host;
  return `http://${reachable.includes(":") ? `[${reachable}]` : reachable}:${port}`;
}

export function appLogFile(home: string, name: string): string {
  return join(home, "logs", `${name}.log`);
}

/**
 * What the apps find in their environment: ours, with the addresses of the stack. `REDIS_PORT` alone, without a host,
 * is the port of a Redis to start, and no business of theirs.
 */
export function appEnvironment(config: Config, stackEnv: Readonly<Record<string, string>>): Environment {
  const { REDIS_HOST: _host, REDIS_PORT: _port, ...environment } = config.environment;
  return {
    // A process killed here is missed after ten seconds, not thirty: nothing else shares this machine's Kafka.
    KAFKA_SESSION_TIMEOUT_MS: "10000",
    // Enough for a machine that does other things too; a worker for each core would cost 70 MB each.
    WORKERS: "2",
    ...environment,
    ...stackEnv,
    HOST: config.host,
    PORT: String(config.appPorts.queryApi),
    ERROR_STREAM_PORT: String(config.appPorts.errorStream),
    STREAM_PROCESSOR_PORT: String(config.appPorts.streamProcessor),
  };
}

/** An app as a supervised child process, with a log file and a pid file in the home. */
export function appPart(app: App, home: string, environment: Environment): Part & { kill(): void } {
  let running: RunningProcess | undefined;
  return {
    name: app.name,
    async start() {
      running = await startProcess({
        name: app.name,
        command: process.execPath,
        args: [resolve(REPOSITORY, app.main)],
        environment,
        cwd: REPOSITORY,
        logFile: appLogFile(home, app.name),
        pidFile: join(pidFilesDir(home), `${app.name}.json`),
        stop: { signal: "SIGTERM", graceMs: STOP_GRACE_MS, lastSignal: "SIGKILL" },
      });
    },
    exited: () => running?.exited ?? Promise.resolve({ code: null, signal: null }),
    async stop() {
      await running?.stop();
    },
    kill() {
      running?.kill();
    },
  };
}
