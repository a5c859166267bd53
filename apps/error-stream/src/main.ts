import { connectKafka } from "@timespan/broker/connect-kafka";
import { createConsumer } from "@timespan/broker/consumer";
import { ensureTopics } from "@timespan/broker/ensure-topics";
import { createBackoff } from "@timespan/runtime/backoff";
import { systemClock } from "@timespan/runtime/clock";
import { Lifecycle } from "@timespan/runtime/lifecycle";
import { createLogger } from "@timespan/runtime/logger";
import { createRegistry } from "@timespan/runtime/metrics";
import { orExit } from "@timespan/runtime/settings";
import { decodeErrorEvent } from "@timespan/telemetry/wire/error-event";
import { type ErrorStreamConfig, readConfig } from "./config.ts";
import { Hub } from "./hub.ts";
import { serveHub } from "./server.ts";
import { type Tail, tailTopic } from "./tail-topic.ts";

const config = orExit(readConfig);
const logger = createLogger("error-stream", config.logLevel);
const lifecycle = new Lifecycle(logger);
lifecycle.stopOnSignals();
for (const warning of config.warnings) logger.warn(warning);
await run(config).catch((err) => lifecycle.failWith(err));

async function run(config: ErrorStreamConfig): Promise<void> {
  const registry = createRegistry("error-stream");
  const hub = new Hub(config.limits, registry);
  let tail: Tail | undefined;

  const server = serveHub(hub, config.http, () => tail?.live() ?? false, registry);
  lifecycle.onStop("server", async () => {
    hub.closeAll();
    await server.stop(true);
  });

  const kafka = connectKafka(config.kafka, logger);
  tail = await untilKafkaIsThere();
  lifecycle.onStop("consumer", () => tail?.stop());
  logger.info({ ...config.http, topic: config.topic }, "error-stream started");

  async function untilKafkaIsThere(): Promise<Tail> {
    const backoff = createBackoff({ initialMs: 200, maxMs: 5_000 });
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
        return await tailTopic(consumer, logger, publish, (error) => lifecycle.failWith(error));
      } catch (err) {
        const delayMs = backoff.nextMs();
        logger.warn({ err, delay_ms: delayMs }, "Kafka is not ready, trying again");
        await consumer.stop().catch(() => {});
        await systemClock.sleep(delayMs);
      }
    }
  }

  function publish({ value }: { value: Buffer | null }): void {
    const event = decodeErrorEvent(value);
    if (event !== undefined) hub.publish(event);
    else logger.debug("a record in the topic of errors is not an error event");
  }
}
