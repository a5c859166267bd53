import {
  type KafkaConnection,
  kafkaConnection,
  kafkaSettings,
  kafkaWarnings,
} from "@timespan/broker/kafka-settings";
import { topicSettings } from "@timespan/broker/topics";
import { list, port, readSettings, replacedVariables, wholeNumber } from "@timespan/runtime/settings";
import { z } from "zod";
import type { HubLimits } from "./hub.ts";

/** Every setting of the error-stream: name, default, limits and meaning. */
export const settings = z.object({
  ...kafkaSettings,
  KAFKA_APM_LOG_ERROR_TOPIC: topicSettings.KAFKA_APM_LOG_ERROR_TOPIC,
  KAFKA_TOPIC_PARTITIONS: topicSettings.KAFKA_TOPIC_PARTITIONS,
  HOST: z.string().default("127.0.0.1").describe("Address to listen on."),
  ERROR_STREAM_PORT: port(3010).describe("Port to listen on."),
  ERROR_STREAM_WS_PATH: z
    .string()
    .regex(/^\/[\w\-./]*$/, "must be a path such as /ws/error-logs")
    .default("/ws/error-logs")
    .describe("Path of the WebSocket."),
  ERROR_STREAM_WS_ORIGINS: list().describe(
    "Origins of web pages that may connect, comma-separated; `*` for any. Where it is not set: pages of this host.",
  ),
  ERROR_STREAM_KAFKA_CLIENT_ID: z
    .string()
    .optional()
    .describe("Client id, where it should not be KAFKA_CLIENT_ID."),
  ERROR_STREAM_KAFKA_GROUP_ID: z
    .string()
    .default("timespan-error-stream")
    .describe("Consumer group. Each instance adds a suffix of its own, as each reads everything."),
  ERROR_STREAM_CLIENTS_MAX: wholeNumber(1_000, 1, 1_000_000).describe("Most clients at once."),
  ERROR_STREAM_CLIENT_BUFFER_KB: wholeNumber(1_024, 16, 1_000_000).describe(
    "Kilobytes that may wait for one slow client; further events are dropped for it, and it is told how many.",
  ),
  LOG_LEVEL: z
    .enum(["debug", "info", "warn", "error"])
    .default("info")
    .describe("Least severe line that is logged."),
});

export interface ErrorStreamConfig {
  kafka: KafkaConnection;
  groupId: string;
  topic: string;
  /** Partitions of a created topic; undefined where topics must not be created. */
  createTopicWithPartitions: number | undefined;
  http: { hostname: string; port: number; path: string; origins: readonly string[] };
  limits: HubLimits;
  logLevel: string;
  warnings: string[];
}

/** @throws {SettingsError} with every problem */
export function readConfig(env: Record<string, string | undefined> = process.env): ErrorStreamConfig {
  const given = readSettings(settings, env);
  const kafka = kafkaConnection(given);
  return {
    kafka: { ...kafka, clientId: given.ERROR_STREAM_KAFKA_CLIENT_ID ?? kafka.clientId },
    groupId: given.ERROR_STREAM_KAFKA_GROUP_ID,
    topic: given.KAFKA_APM_LOG_ERROR_TOPIC,
    createTopicWithPartitions: given.KAFKA_ALLOW_AUTO_TOPIC_CREATION
      ? given.KAFKA_TOPIC_PARTITIONS
      : undefined,
    http: {
      hostname: given.HOST,
      port: given.ERROR_STREAM_PORT,
      path: given.ERROR_STREAM_WS_PATH,
      origins: given.ERROR_STREAM_WS_ORIGINS,
    },
    limits: {
      clientsMax: given.ERROR_STREAM_CLIENTS_MAX,
      clientBufferBytesMax: given.ERROR_STREAM_CLIENT_BUFFER_KB * 1_000,
    },
    logLevel: given.LOG_LEVEL,
    warnings: [...replacedVariables(env), ...kafkaWarnings(given)],
  };
}
