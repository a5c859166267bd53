import type { Logger } from "@timespan/runtime/logger";
import { Kafka, type KafkaConfig, type LogEntry, logLevel } from "kafkajs";
import { kafkajsSecurity } from "./auth/kafkajs-security.ts";
import { registerCodecs } from "./codecs/register-codecs.ts";
import type { KafkaConnection } from "./kafka-settings.ts";

export { CompressionTypes } from "kafkajs";
export type { Kafka };

registerCodecs();

const CONNECT_TIMEOUT_MS = 5_000;
const REQUEST_TIMEOUT_MS = 30_000;
/** First and longest delay between kafkajs' own tries. */
const RETRY = { initialRetryTime: 200, maxRetryTime: 5_000, retries: 8 };

/** A client of the cluster; nothing is connected until a producer, consumer or admin of it is. */
export function connectKafka(connection: KafkaConnection, logger: Logger): Kafka {
  const config: KafkaConfig = {
    brokers: connection.brokers,
    clientId: connection.clientId,
    connectionTimeout: CONNECT_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    retry: RETRY,
    logLevel: logLevel.WARN,
    logCreator: () => (entry) => logEntry(logger, entry),
    ...kafkajsSecurity(connection),
  };
  return new Kafka(config);
}

function logEntry(logger: Logger, { level, namespace, log }: LogEntry): void {
  const { message, timestamp: _, logger: __, stack: ___, ...fields } = log;
  // "Response Heartbeat(…): the group is rebalancing" and its like: kafkajs logs every refusing answer as an error and
  // then deals with it, or throws it to us. What it cannot deal with is logged again, by whoever gives up.
  const answered = namespace === "Connection" && message.startsWith("Response ");
  const write =
    answered || level > logLevel.WARN ? logger.debug : level <= logLevel.ERROR ? logger.error : logger.warn;
  write.call(logger, { ...fields, kafkajs: namespace }, message);
}
