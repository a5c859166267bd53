import { connectKafka } from "@timespan/broker/connect-kafka";
import { createConsumer } from "@timespan/broker/consumer";
import { ensureTopics } from "@timespan/broker/ensure-topics";
import { createProducer } from "@timespan/broker/producer";
import { createBackoff } from "@timespan/runtime/backoff";
import { systemClock } from "@timespan/runtime/clock";
import { Lifecycle } from "@timespan/runtime/lifecycle";
import { createLogger } from "@timespan/runtime/logger";
import { createRegistry } from "@timespan/runtime/metrics";
import { closeDatabase, openDatabase } from "@timespan/store/database";
import { maintainStorage } from "@timespan/store/storage/maintain-storage";
import { readConfig, type StreamProcessorConfig } from "./config.ts";
import { type DecodeRecord, decodeLogRecord, decodeSpanRecord } from "./decode-record.ts";
import { createErrorForwarder } from "./error-forwarder.ts";
import { createHttpHandler } from "./http.ts";
import { IngestLoop } from "./ingest-loop.ts";
import { createIngestMetrics } from "./ingest-metrics.ts";

/** A batch that takes longer than this to write is broken off by the server and tried again. */
const WRITE_TIMEOUT_MS = 60_000;
/** Part of the lifecycle's own limit, so that leaving the group still fits in. */
const DRAIN_TIMEOUT_MS = 15_000;
const MAINTENANCE_INTERVAL_MS = 3_600_000;

const config = readConfig();
const logger = createLogger("stream-processor", config.logLevel);
const lifecycle = new Lifecycle(logger);
lifecycle.stopOnSignals();
for (const warning of config.warnings) logger.warn(warning);
await run(config).catch((err) => lifecycle.failWith(err));

async function run(config: StreamProcessorConfig): Promise<void> {
  const clock = systemClock;
  const registry = createRegistry("stream-processor");
  const metrics = createIngestMetrics(registry);
  const loops: IngestLoop[] = [];
  let starting: string | undefined = "starting";

  const server = Bun.serve({
    ...config.http,
    fetch: createHttpHandler(
      () => (starting === undefined ? loops.flatMap((loop) => loop.notReady()) : [starting]),
      registry,
    ),
  });
  lifecycle.onStop("http", () => server.stop(true));

  const database = openDatabase({
    url: config.database.url,
    role: "timespan_writer",
    applicationName: "timespan stream-processor",
    poolMax: config.database.poolMax,
    statementTimeoutMs: WRITE_TIMEOUT_MS,
  });
  lifecycle.onStop("database", () => closeDatabase(database));
  const maintain = () => maintainStorage(database, config.storage);
  await untilDone("the database", maintain);
  lifecycle.onStop(
    "maintenance",
    clock.every(MAINTENANCE_INTERVAL_MS, () => {
      maintain().catch((err) => logger.error({ err }, "storage not maintained; next try in an hour"));
    }),
  );

  const [firstGroup] = config.groups;
  if (firstGroup === undefined) throw new Error("no consumer group configured");
  const kafka = connectKafka(firstGroup.connection, logger);
  const { topics, createTopicsWithPartitions } = config;
  if (createTopicsWithPartitions !== undefined) {
    await untilDone("Kafka", () => ensureTopics(kafka, Object.values(topics), createTopicsWithPartitions));
  }
  const producer = await untilDone("Kafka", () => createProducer(kafka));
  lifecycle.onStop("producer", () => producer.disconnect());

  const decoders: Record<"spans" | "logs", { decode: DecodeRecord; retentionMs: number }> = {
    spans: { decode: decodeSpanRecord, retentionMs: config.limits.retentionSpansMs },
    logs: { decode: decodeLogRecord, retentionMs: config.limits.retentionLogsMs },
  };
  for (const group of config.groups) {
    const consumer = createConsumer(connectKafka(group.connection, logger), {
      groupId: group.groupId,
      topics: group.signals.map((signal) => topics[signal]),
      concurrentPartitions: config.concurrentPartitions,
      sessionTimeoutMs: config.sessionTimeoutMs,
    });
    const loop = new IngestLoop({
      consumer,
      database,
      forwarder: createErrorForwarder(producer, topics.errors, clock, logger),
      topics: new Map(group.signals.map((signal) => [topics[signal], decoders[signal]])),
      maintainStorage: maintain,
      limits: config.limits,
      clock,
      logger,
      metrics,
      onFatal: (error) => lifecycle.failWith(error),
    });
    loops.push(loop);
    lifecycle.onStop(`consumer ${group.groupId}`, () => loop.stop(DRAIN_TIMEOUT_MS));
    await loop.start();
  }
  starting = undefined;
  logger.info({ ...config.http, topics }, "stream-processor started");

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
