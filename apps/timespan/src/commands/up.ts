import { readdirSync } from "node:fs";
import { join } from "node:path";
import { shrinkLog } from "@timespan/local-stack/shrink-log";
import { StackStartAborted } from "@timespan/local-stack/stack-error";
import { type Stack, startStack } from "@timespan/local-stack/start-stack";
import { systemClock } from "@timespan/runtime/clock";
import { type App, appEnvironment, appLogFile, appPart, appUrl, timespanApps } from "../apps.ts";
import { type Config, REPOSITORY } from "../config.ts";
import { removeEnvFile, writeEnvFile } from "../env-file.ts";
import { onStopSignals } from "../on-stop-signals.ts";
import type { Progress } from "../progress-line.ts";
import { type Supervised, supervise } from "../supervise.ts";
import { waitUntilReady } from "../wait-until-ready.ts";
import { migrateOrExplain } from "./migrate.ts";

const LOG_CHECK_INTERVAL_MS = 60_000;

export interface UpOptions {
  progress: Progress;
  /** A further process beside the apps, started when they are ready: the demo's traffic. */
  traffic?: { app: App; environment: Record<string, string> };
  /** Called when everything answers. */
  onReady(stack: RunningStack): void;
}

/** The addresses of what runs. */
export interface RunningStack {
  databaseUrl: string;
  kafkaBrokers: readonly string[];
  queryApiUrl: string;
  errorStreamUrl: string;
  engine: "timescaledb" | "postgres";
}

/**
 * Brings everything up and keeps it running until a signal asks to stop: servers, schema, apps, traffic. Stops in the
 * reverse order. A second signal ends everything at once, with exit code 130.
 * @throws {StackError} when something cannot start; nothing is left running then
 */
export async function up(config: Config, options: UpOptions): Promise<void> {
  const { progress } = options;
  const stopRequested = new AbortController();
  const { signal } = stopRequested;
  const kills: (() => void)[] = [];
  const endAtOnce = (code: number) => {
    for (const kill of kills.toReversed()) kill();
    process.exit(code);
  };
  onStopSignals({
    first() {
      progress.update("Stopping; Ctrl-C again ends everything at once");
      stopRequested.abort();
    },
    second() {
      progress.clear();
      progress.report("Ending everything at once.");
      endAtOnce(130);
    },
  });
  const onBug = (error: unknown) => {
    progress.report(`Unexpected error, ending: ${error instanceof Error ? error.stack : String(error)}`);
    endAtOnce(1);
  };
  process.on("uncaughtException", onBug);
  process.on("unhandledRejection", onBug);

  const stops: (() => Promise<void>)[] = [];
  try {
    await bringUp(config, options, signal, stops, kills);
    if (!signal.aborted) await new Promise((resolve) => signal.addEventListener("abort", resolve));
  } catch (error) {
    if (!(error instanceof StackStartAborted)) throw error;
  } finally {
    for (const stop of stops.toReversed()) await stop();
    progress.clear();
    if (signal.aborted) progress.report("Stopped.");
  }
}

async function bringUp(
  config: Config,
  { progress, traffic, onReady }: UpOptions,
  signal: AbortSignal,
  stops: (() => Promise<void>)[],
  kills: (() => void)[],
): Promise<void> {
  const { home } = config;
  const report = progress.report;
  const apps = timespanApps(config);
  progress.update("Looking for servers");
  const stack = await startStack({
    home,
    environment: config.environment,
    ports: config.ports,
    appPorts: apps.map(({ name, port, portVariable: variable }) => ({ name, port, variable })),
    given: {
      databaseUrl: config.given.databaseUrl,
      kafkaBrokers: config.given.kafka?.brokers,
      kafkaSecurity: config.given.kafka,
      redis: config.given.redis,
    },
    docker: config.docker,
    composeFile: join(REPOSITORY, "compose.yaml"),
    pgBin: config.pgBin,
    report,
    progress: progress.update,
    signal,
  });
  stops.push(() => stack.stop());
  kills.push(() => stack.kill());

  progress.update("Migrating the database");
  const { engine, applied } = await migrateOrExplain(stack.databaseUrl, report);
  report(
    `Schema: ${engine}, ${applied.length === 0 ? "up to date" : `${applied.length} migrations applied`}.`,
  );
  if (signal.aborted) return;

  // In the order of the stack's own stop, so that a server that ends by accident comes back until then.
  for (const server of [stack.postgres, stack.redisServer, stack.kafka]) {
    if (server?.pid === undefined) continue;
    const supervised = supervise(server, { running: true, report });
    stops.push(() => supervised.stop());
  }

  const environment = appEnvironment(config, stack.env);
  const run = (app: App, extra: Record<string, string> = {}): Supervised => {
    const part = appPart(app, home, { ...environment, ...extra });
    kills.push(() => part.kill());
    return supervise(part, { report: (line) => report(`${line} Its log: ${appLogFile(home, app.name)}`) });
  };
  const running = apps.map((app) => ({ app, supervised: run(app) }));
  stops.push(async () => {
    progress.update("Stopping the apps");
    await Promise.all(running.map(({ supervised }) => supervised.stop()));
    progress.update("Stopping the servers");
  });
  await waitUntilReady(
    running.map(({ app, supervised }) => ({
      name: app.name,
      readyUrl: `${appUrl(config, app.port)}/ready`,
      logFile: appLogFile(home, app.name),
      exitCount: () => supervised.exitCount,
    })),
    { progress: progress.update, signal },
  );
  if (signal.aborted) return;

  if (traffic !== undefined) {
    const supervised = run(traffic.app, traffic.environment);
    stops.push(() => supervised.stop());
  }
  const stopKeepingLogsSmall = keepLogsSmall(home);
  stops.push(async () => stopKeepingLogsSmall());
  const addresses = runningStack(config, stack, engine);
  stops.push(async () => removeEnvFile(home));
  kills.push(() => removeEnvFile(home));
  writeEnvFile(home, {
    ...stack.env,
    QUERY_API_URL: addresses.queryApiUrl,
    ERROR_STREAM_URL: addresses.errorStreamUrl,
  });
  progress.clear();
  onReady(addresses);
}

function runningStack(config: Config, stack: Stack, engine: RunningStack["engine"]): RunningStack {
  return {
    databaseUrl: stack.databaseUrl,
    kafkaBrokers: stack.kafkaBrokers,
    queryApiUrl: appUrl(config, config.appPorts.queryApi),
    errorStreamUrl: `${appUrl(config, config.appPorts.errorStream).replace("http:", "ws:")}${config.errorStreamPath}`,
    engine,
  };
}

/** @returns stops looking */
function keepLogsSmall(home: string): () => void {
  const dir = join(home, "logs");
  return systemClock.every(LOG_CHECK_INTERVAL_MS, () => {
    for (const file of readdirSync(dir).filter((name) => name.endsWith(".log"))) shrinkLog(join(dir, file));
  });
}
