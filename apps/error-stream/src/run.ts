import { connectKafka } from "@timespan/broker/connect-kafka";
import { type ConsumedRecord, createConsumer } from "@timespan/broker/consumer";
import { ensureTopics } from "@timespan/broker/ensure-topics";
import { createBackoff } from "@timespan/runtime/backoff";
import { systemClock } from "@timespan/runtime/clock";
import { Lifecycle } from "@timespan/runtime/lifecycle";
import { createLogger, type Logger } from "@timespan/runtime/logger";
import { createRegistry, Gauge } from "@timespan/runtime/metrics";
import { createKeyVerifier } from "@timespan/store/api-keys/key-verifier";
import { closeDatabase, type Database, openDatabase } from "@timespan/store/database";
import { readSourceOffsets } from "@timespan/store/ingest/read-source-offsets";
import { decodeErrorEvent } from "@timespan/telemetry/wire/error-event";
import { Channel } from "./channel.ts";
import type { ErrorStreamConfig } from "./config.ts";
import { Hub, type ReceivedEvent } from "./hub.ts";
import type { Listener, ListenOptions } from "./listener.ts";
import { type Tail, tailTopic } from "./tail-topic.ts";

/** Replays wait for the store only so long; the client is then told what is missing. */
const REPLAY_TIMEOUT_MS = 10_000;
const REPLAY_POOL_MAX = 4;
const KEY_TIMEOUT_MS = 2_000;
const KEY_POOL_MAX = 2;
/** How long clients have to hear that the server stops. */
const FAREWELL_MS = 250;

/** Runs error-stream on the engine that `listen` brings, until a signal ends it. */
export async function runErrorStream(
  config: ErrorStreamConfig,
  listen: (channel: Channel, options: ListenOptions) => Listener | Promise<Listener>,
): Promise<void> {
  const logger = createLogger("error-stream", config.logLevel);
  const lifecycle = new Lifecycle(logger);
  lifecycle.stopOnSignals();
  for (const warning of config.warnings) logger.warn(warning);
  await start().catch((err) => lifecycle.failWith(err));

  async function start(): Promise<void> {
    const registry = createRegistry("error-stream");
    const database = openPool("timespan-error-stream", REPLAY_POOL_MAX, REPLAY_TIMEOUT_MS);
    const keys = config.authRequired
      ? openPool("timespan-error-stream keys", KEY_POOL_MAX, KEY_TIMEOUT_MS)
      : undefined;
    const hub = new Hub({ limits: config.hub, clock: systemClock, logger, registry, database });
    let tail: Tail | undefined;
    const channel = new Channel({
      hub,
      limits: config.clients,
      origins: config.http.origins,
      wsPath: config.http.path,
      verifyKey:
        keys &&
        createKeyVerifier(keys, systemClock, (err) =>
          logger.warn({ err }, "the last use of a key was not noted"),
        ),
      live: () => tail?.live() ?? false,
      clock: systemClock,
      registry,
    });
    const { hostname, port } = config.http;
    const listener = await listen(channel, { hostname, port, logger });
    lifecycle.onStop("server", async () => {
      channel.stop();
      await systemClock.sleep(FAREWELL_MS);
      await listener.stop();
    });
    const metrics = createTailMetrics(() => tail);

    const kafka = connectKafka(config.kafka, logger);
    tail = await untilKafkaIsThere();
    lifecycle.onStop("consumer", () => tail?.stop());
    logger.info({ ...config.http, topic: config.topic }, "error-stream started");

    async function untilKafkaIsThere(): Promise<Tail> {
      const backoff = createBackoff({ initialMs: 200, maxMs: 5_000 });
      // Asked for before the end of the topic: what is stored by now has gone through Kafka by then.
      const storedUpTo = await readStored(database, logger);
      for (;;) {
        const consumer = createConsumer(kafka, {
          // Every instance serves every error, so none may share a group with another.
          groupId: `${config.groupId}-${crypto.randomUUID()}`,
          ownGroup: true,
          topics: [config.topic],
          concurrentPartitions: 1,
        });
        try {
          if (config.createTopicWithPartitions !== undefined) {
            await ensureTopics(kafka, [config.topic], config.createTopicWithPartitions);
          }
          return await tailTopic({
            consumer,
            logger,
            backlogRecords: config.hub.ring.eventsMax,
            backlogBytesMax: config.hub.ring.bytesMax,
            onBacklog(records, isWholeTopic) {
              hub.takeBacklog(decode(records), storedUpTo, isWholeTopic);
              logger.info({ records: records.length }, "took what came before the live end");
            },
            onRecords: (records) => hub.publish(decode(records)),
            onFatal: (error) => lifecycle.failWith(error),
          });
        } catch (err) {
          const delayMs = backoff.nextMs();
          logger.warn({ err, delay_ms: delayMs }, "Kafka is not ready, trying again");
          await consumer.stop().catch(() => {});
          await systemClock.sleep(delayMs);
        }
      }
    }

    function openPool(
      applicationName: string,
      poolMax: number,
      statementTimeoutMs: number,
    ): Database | undefined {
      if (config.databaseUrl === undefined) return undefined;
      const pool = openDatabase({
        url: config.databaseUrl,
        role: "timespan_reader",
        applicationName,
        poolMax,
        statementTimeoutMs,
      });
      lifecycle.onStop(applicationName, () => closeDatabase(pool));
      return pool;
    }

    function decode(records: readonly ConsumedRecord[]): ReceivedEvent[] {
      const events: ReceivedEvent[] = [];
      for (const { value, timestampMs } of records) {
        const decoded = decodeErrorEvent(value);
        if (decoded !== undefined) events.push({ ...decoded, recordMs: timestampMs });
        else logger.debug("a record in the topic of errors is not an error event");
        metrics.lagSeconds = Math.max(0, systemClock.nowMs() - timestampMs) / 1_000;
      }
      return events;
    }

    function createTailMetrics(tailNow: () => Tail | undefined): { lagSeconds: number } {
      const seen = { lagSeconds: 0 };
      const lag: Gauge = new Gauge({
        name: "timespan_error_stream_lag_seconds",
        help: "Age of the newest error when it came here.",
        registers: [registry],
        collect: () => lag.set(seen.lagSeconds),
      });
      const behind: Gauge = new Gauge({
        name: "timespan_error_stream_lag_records",
        help: "Errors that Kafka has and that did not come here yet; -1 where Kafka does not say.",
        registers: [registry],
        async collect() {
          behind.set(
            (await tailNow()
              ?.recordsBehind()
              .catch(() => -1)) ?? -1,
          );
        },
      });
      return seen;
    }
  }
}

/** How far each source is stored; empty where the store does not say. Replays from it then begin at the topic's end. */
async function readStored(
  database: Database | undefined,
  logger: Logger,
): Promise<ReadonlyMap<number, number>> {
  if (database === undefined) return new Map();
  try {
    return await readSourceOffsets(database);
  } catch (err) {
    logger.warn({ err }, "the store does not answer; it is asked again when a client wants older errors");
    return new Map();
  }
}
