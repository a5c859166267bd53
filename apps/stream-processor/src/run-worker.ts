import { connectKafka } from "@timespan/broker/connect-kafka";
import { createConsumer } from "@timespan/broker/consumer";
import { createProducer } from "@timespan/broker/producer";
import { systemClock } from "@timespan/runtime/clock";
import { createHeapLimit } from "@timespan/runtime/heap-limit";
import type { Lifecycle } from "@timespan/runtime/lifecycle";
import type { Logger } from "@timespan/runtime/logger";
import { createRegistry, snapshotMetrics } from "@timespan/runtime/metrics";
import { closeDatabase, openDatabase } from "@timespan/store/database";
import { maintainStorage } from "@timespan/store/storage/maintain-storage";
import type { StreamProcessorConfig } from "./config.ts";
import { createErrorForwarder } from "./error-forwarder.ts";
import { createGuards } from "./guard-settings.ts";
import { IngestLoop } from "./ingest-loop.ts";
import { createIngestMetrics } from "./ingest-metrics.ts";
import { decodersByTopic } from "./signals.ts";
import { ThroughputLog } from "./throughput-log.ts";
import { REPORT_INTERVAL_MS, type WorkerReport } from "./worker-messages.ts";

/** A batch that takes longer than this to write is broken off by the server and tried again. */
export const WRITE_TIMEOUT_MS = 60_000;
/** Between two looks at the heap a busy worker makes some 15 MB of garbage. */
const HEAP_CHECK_INTERVAL_MS = 250;
/** Part of the lifecycle's own limit, so that leaving the group still fits in. */
const DRAIN_TIMEOUT_MS = 15_000;

/**
 * One worker: a member of each consumer group with its own connections. It shares nothing with the others but the
 * store's ledger, so it may die at any moment.
 * @param report takes how it is, now and every second
 */
export async function runWorker(
  config: StreamProcessorConfig,
  lifecycle: Lifecycle,
  logger: Logger,
  report: (report: WorkerReport) => void,
): Promise<void> {
  const clock = systemClock;
  const registry = createRegistry();
  const metrics = createIngestMetrics(registry);
  const guards = createGuards(
    config.guards,
    {
      nowMs: () => clock.nowMs(),
      onServiceFull: (service, names) =>
        logger.warn({ service }, `a service has too many ${names}: the rest is other`),
    },
    registry,
  );
  const loops: IngestLoop[] = [];
  let starting = true;

  lifecycle.onStop(
    "report",
    clock.every(REPORT_INTERVAL_MS, () => {
      void snapshotMetrics(registry).then((snapshot) =>
        report({
          notReady: starting ? ["starting"] : loops.flatMap((loop) => loop.notReady()),
          metrics: snapshot,
        }),
      );
    }),
  );

  lifecycle.onStop("heap", clock.every(HEAP_CHECK_INTERVAL_MS, createHeapLimit()));

  const database = openDatabase({
    url: config.database.url,
    role: "timespan_writer",
    applicationName: "timespan stream-processor",
    poolMax: config.database.poolMaxPerWorker,
    statementTimeoutMs: WRITE_TIMEOUT_MS,
  });
  lifecycle.onStop("database", () => closeDatabase(database));

  const [firstGroup] = config.groups;
  if (firstGroup === undefined) throw new Error("no consumer group configured");
  const producer = await createProducer(connectKafka(firstGroup.connection, logger));
  lifecycle.onStop("producer", () => producer.disconnect());

  for (const group of config.groups) {
    const consumer = createConsumer(connectKafka(group.connection, logger), {
      groupId: group.groupId,
      topics: group.signals.map((signal) => config.topics[signal]),
      concurrentPartitions: config.concurrentPartitions,
      sessionTimeoutMs: config.sessionTimeoutMs,
    });
    const loop = new IngestLoop({
      consumer,
      database,
      forwarder: createErrorForwarder(producer, config.topics.errors, clock, logger),
      topics: decodersByTopic(config, group.signals),
      maintainStorage: () => maintainStorage(database),
      limits: config.limits,
      clock,
      logger,
      metrics,
      guards,
      throughput: new ThroughputLog(config.throughput, clock, logger),
      onFatal: (error) => lifecycle.failWith(error),
    });
    loops.push(loop);
    lifecycle.onStop(`consumer ${group.groupId}`, () => loop.stop(DRAIN_TIMEOUT_MS));
    await loop.start();
  }
  starting = false;
}
