import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Clock, systemClock } from "@timespan/runtime/clock";
import type { Environment } from "@timespan/runtime/settings";
import { askProgram } from "./ask-program.ts";
import { findProgram } from "./find-program.ts";
import { findFreePort, LOOPBACK, type PortChoice } from "./free-port.ts";
import { homeHash } from "./home.ts";
import type { Server, ServerName } from "./local-server.ts";
import { runProgram } from "./run-program.ts";
import { StackError, StackStartAborted } from "./stack-error.ts";

/** An engine that is there answers in well under a second; one that hangs must not hold up the start. */
const INFO_TIMEOUT_MS = 5_000;
/** Images are pulled the first time. */
const UP_TIMEOUT_MS = 15 * 60_000;
const STOP_TIMEOUT_MS = 60_000;

const SERVICES: Record<ServerName, string> = { postgres: "timescaledb", kafka: "kafka", redis: "redis" };
const PORT_VARIABLES: Record<ServerName, string> = {
  postgres: "POSTGRES_PORT",
  kafka: "KAFKA_PORT",
  redis: "REDIS_PORT",
};

/** True when a Docker engine answers and can run compose files. */
export async function dockerAnswers(environment: Environment): Promise<boolean> {
  const docker = findProgram("docker", environment);
  if (docker === undefined) return false;
  const options = { environment, timeoutMs: INFO_TIMEOUT_MS };
  const info = await askProgram(docker, ["info", "--format", "{{.ServerVersion}}"], options);
  if (!info.ok || info.stdout.trim() === "") return false;
  return (await askProgram(docker, ["compose", "version"], options)).ok;
}

export interface DockerOptions {
  /** Absolute. */
  home: string;
  environment: Environment;
  composeFile: string;
  /** The servers wanted from Docker; others are given. */
  names: readonly ServerName[];
  ports: Record<ServerName, PortChoice>;
  progress(line: string): void;
}

export interface DockerStack {
  servers: Server[];
  /** Host ports of the services. */
  ports: Record<ServerName, number>;
  databaseUrl: string;
  /** Pulls, starts and waits until healthy. */
  start(signal?: AbortSignal): Promise<void>;
}

/**
 * The services of `compose.yaml`, as a compose project of this home: two homes do not share containers or volumes.
 * Containers left by a stack that was killed are taken over.
 */
export async function createDockerStack(
  options: DockerOptions,
  clock: Clock = systemClock,
): Promise<DockerStack> {
  const { home, environment, names } = options;
  const docker = findProgram("docker", environment) ?? "docker";
  const project = `timespan-${homeHash(home)}`;
  const ports = { postgres: 0, kafka: 0, redis: 0 };
  for (const name of ["postgres", "kafka", "redis"] as const) {
    const wanted = options.ports[name];
    ports[name] = wanted === "auto" || wanted === 0 ? await findFreePort() : wanted;
  }
  const password = projectPassword(home);
  const composeEnvironment: Environment = {
    ...environment,
    POSTGRES_PASSWORD: password,
    POSTGRES_PORT: String(ports.postgres),
    KAFKA_PORT: String(ports.kafka),
    REDIS_PORT: String(ports.redis),
  };
  const compose = (...args: string[]) => ["compose", "-p", project, "-f", options.composeFile, ...args];

  const run = async (args: string[], timeoutMs: number, signal?: AbortSignal) => {
    const { ok, output } = await runProgram(
      docker,
      args,
      {
        environment: composeEnvironment,
        timeoutMs,
        signal,
        onTick: (elapsedMs) =>
          options.progress(`Docker brings up ${names.join(", ")}, ${Math.round(elapsedMs / 1_000)} s`),
      },
      clock,
    );
    if (signal?.aborted) throw new StackStartAborted();
    if (!ok) throw explainFailure(output);
  };
  const stopService = async (service: string) => {
    await askProgram(docker, compose("stop", service), {
      environment: composeEnvironment,
      timeoutMs: STOP_TIMEOUT_MS,
    });
  };
  const startServices = (services: string[], signal?: AbortSignal) =>
    run(compose("up", "-d", "--wait", ...services), UP_TIMEOUT_MS, signal);

  return {
    ports,
    databaseUrl: `postgres://timespan:${password}@${LOOPBACK}:${ports.postgres}/timespan`,
    async start(signal) {
      const services = names.map((name) => SERVICES[name]);
      try {
        await startServices(services, signal);
      } catch (error) {
        for (const service of services) await stopService(service);
        throw error;
      }
    },
    servers: names.map((name) => ({
      name,
      choice:
        `${name === "postgres" ? "Database" : name === "kafka" ? "Kafka" : "Redis"}: service ${SERVICES[name]} of ` +
        `compose.yaml on port ${ports[name]}, because a Docker engine answers.`,
      pid: undefined,
      exited: () => new Promise(() => {}),
      start: (signal) => startServices([SERVICES[name]], signal),
      stop: () => stopService(SERVICES[name]),
      kill() {
        spawn(docker, compose("kill", SERVICES[name]), {
          env: composeEnvironment,
          detached: true,
          stdio: "ignore",
        }).unref();
      },
    })),
  };
}

/** Kept in the home: the volume of the database remembers the password it was created with. */
function projectPassword(home: string): string {
  const path = join(home, "docker.password");
  if (existsSync(path)) return readFileSync(path, "utf8").trim();
  const password = randomBytes(24).toString("base64url");
  writeFileSync(path, `${password}\n`, { mode: 0o600 });
  return password;
}

function explainFailure(output: string): StackError {
  const taken = /127\.0\.0\.1:(\d+).*(?:already allocated|already in use)/.exec(output)?.[1];
  const said = output.trim().split("\n").slice(-5).join("\n");
  return taken === undefined
    ? new StackError(
        `Docker could not bring the servers up:\n${said}`,
        "Mend what it says, or set TIMESPAN_DOCKER=never to run the servers without Docker.",
      )
    : new StackError(
        `Port ${taken} on ${LOOPBACK} is taken, so Docker cannot publish a server there.`,
        `Stop the program that listens on it, or change ${Object.values(PORT_VARIABLES).join(", ")}.`,
      );
}
