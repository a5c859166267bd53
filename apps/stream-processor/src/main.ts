import { parentPort, Worker } from "node:worker_threads";
import { connectKafka } from "@timespan/broker/connect-kafka";
import { countPartitions } from "@timespan/broker/count-partitions";
import { ensureTopics } from "@timespan/broker/ensure-topics";
import { createBackoff } from "@timespan/runtime/backoff";
import { systemClock } from "@timespan/runtime/clock";
import { Lifecycle } from "@timespan/runtime/lifecycle";
import { createLogger } from "@timespan/runtime/logger";
import { Counter, createRegistry, Gauge, renderMetrics } from "@timespan/runtime/metrics";
import { orExit } from "@timespan/runtime/settings";
import { closeDatabase, openDatabase } from "@timespan/store/database";
import { deleteExpiredRows } from "@timespan/store/storage/delete-expired-rows";
import { maintainRollups } from "@timespan/store/storage/maintain-rollups";
import { maintainStorage } from "@timespan/store/storage/maintain-storage";
import { moveLateRows } from "@timespan/store/storage/move-late-rows";
import { saveStorageSettings } from "@timespan/store/storage/save-storage-settings";
import { readConfig, type StreamProcessorConfig } from "./config.ts";
import { createHttpHandler } from "./http.ts";
import { runWorker, WRITE_TIMEOUT_MS } from "./run-worker.ts";
import type { WorkerCommand, WorkerReport } from "./worker-messages.ts";
import { type WorkerHandle, WorkerPool } from "./worker-pool.ts";

const MAINTENANCE_INTERVAL_MS = 3_600_000;
const MOVE_LATE_ROWS_INTERVAL_MS = 20_000;
const SILENCE_CHECK_INTERVAL_MS = 5_000;
/** Longer than a worker's own limit to drain and leave, shorter than the lifecycle's. */
const WORKERS_STOP_TIMEOUT_MS = 20_000;

const config = orExit(readConfig);
const logger = createLogger("stream-processor", config.logLevel);
const lifecycle = new Lifecycle(logger);

// One file is both: the process, and each of its worker threads. So a bundle is one file too.
if (parentPort === null) {
  lifecycle.stopOnSignals();
  for (const warning of config.warnings) logger.warn(warning);
  await supervise(config).catch((err) => lifecycle.failWith(err));
} else {
  const pool = parentPort;
  pool.on("message", (_: WorkerCommand) => void lifecycle.stop().then(() => process.exit(0)));
  const report = (message: WorkerReport) => pool.postMessage(message);
  await runWorker(config, lifecycle, logger, report).catch((err) => lifecycle.failWith(err));
}

async function supervise(config: StreamProcessorConfig): Promise<void> {
  const clock = systemClock;
  const registry = createRegistry("stream-processor");
  let starting: string | undefined = "starting";
  let pool: WorkerPool | undefined;

  const server = Bun.serve({
    ...config.http,
    fetch: createHttpHandler(
      () => (starting === undefined ? (pool?.notReady() ?? []) : [starting]),
      async () => renderMetrics([registry], (await pool?.metrics()) ?? []),
    ),
  });
  lifecycle.onStop("http", () => server.stop(true));

  const database = openDatabase({
    url: config.database.url,
    role: "timespan_writer",
    applicationName: "timespan stream-processor maintenance",
    poolMax: 1,
    statementTimeoutMs: WRITE_TIMEOUT_MS,
  });
  lifecycle.onStop("database", () => closeDatabase(database));
  const maintain = async () => {
    await maintainStorage(database);
    await maintainRollups(database, config.rollups);
  };
  await untilDone("the database", async () => {
    await saveStorageSettings(database, config.storage);
    await maintain();
  });
  lifecycle.onStop(
    "maintenance",
    clock.every(MAINTENANCE_INTERVAL_MS, () => {
      maintain()
        .then(() => deleteExpiredRows(database))
        .then((count) => {
          if (count > 0) logger.info({ rows: count }, "rows past their environment's retention deleted");
        })
        .catch((err) => logger.error({ err }, "storage not maintained; next try in an hour"));
    }),
  );

  const movedRows = new Counter({
    name: "timespan_ingest_moved_late_rows_total",
    help: "Late rows that were moved to where they belong.",
    registers: [registry],
  });
  const expiredRows = new Counter({
    name: "timespan_ingest_expired_late_rows_total",
    help: "Late rows that grew older than retention before they were moved.",
    registers: [registry],
  });
  lifecycle.onStop(
    "late rows",
    clock.every(MOVE_LATE_ROWS_INTERVAL_MS, () => {
      moveLateRows(database)
        .then(({ movedCount, expiredCount }) => {
          movedRows.inc(movedCount);
          expiredRows.inc(expiredCount);
        })
        .catch((err) => logger.warn({ err }, "late rows not moved; next try in 20 s"));
    }),
  );

  const [firstGroup] = config.groups;
  if (firstGroup === undefined) throw new Error("no consumer group configured");
  const kafka = connectKafka(firstGroup.connection, logger);
  const { topics, createTopicsWithPartitions } = config;
  if (createTopicsWithPartitions !== undefined) {
    await untilDone("Kafka", () => ensureTopics(kafka, Object.values(topics), createTopicsWithPartitions));
  }
  const signalTopics = config.groups.flatMap(({ signals }) => signals.map((signal) => topics[signal]));
  const partitions = await untilDone("Kafka", () => countPartitions(kafka, signalTopics));

  const count = Math.max(1, Math.min(config.workers, partitions));
  const created = new WorkerPool(count, startThread, { clock, logger });
  pool = created;
  new Gauge({
    name: "timespan_ingest_workers",
    help: "Worker threads that should be running.",
    registers: [registry],
  }).set(count);
  const restarts = new Counter({
    name: "timespan_ingest_worker_restarts_total",
    help: "Worker threads that died and were replaced.",
    registers: [registry],
    collect() {
      restarts.reset();
      restarts.inc(created.restarts);
    },
  });
  created.start();
  lifecycle.onStop("workers", () => created.stop(WORKERS_STOP_TIMEOUT_MS));
  lifecycle.onStop(
    "silence",
    clock.every(SILENCE_CHECK_INTERVAL_MS, () => created.checkSilence()),
  );
  starting = undefined;
  logger.info({ ...config.http, topics, workers: count }, "stream-processor started");

  /** Whatever is not there yet when we start is waited for: the order in which a stack comes up is nobody's duty. */
  async function untilDone<T>(what: string, work: () => Promise<T>): Promise<T> {
    const backoff = createBackoff({ initialMs: 200, maxMs: 5_000 });
    for (;;) {
      try {
        return await work();
      } catch (err) {
        starting = `waiting for ${what}`;
        const delayMs = backoff.nextMs();
        logger.warn({ err, delay_ms: delayMs }, `${what} is not ready, trying again`);
        await clock.sleep(delayMs);
      }
    }
  }
}

function startThread(): WorkerHandle {
  const thread = new Worker(new URL(import.meta.url));
  let failure: string | undefined;
  thread.on("error", (error: Error) => {
    failure = error.message;
  });
  return {
    onReport: (listener) => void thread.on("message", listener),
    onExit: (listener) => void thread.once("exit", (code) => listener(failure ?? `ended with code ${code}`)),
    send: (command: WorkerCommand) => thread.postMessage(command),
    terminate: () => void thread.terminate(),
  };
}
