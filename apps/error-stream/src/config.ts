import {
  type KafkaConnection,
  kafkaConnection,
  kafkaSettings,
  kafkaWarnings,
} from "@timespan/broker/kafka-settings";
import { topicSettings } from "@timespan/broker/topics";
import { AUTH_OFF_WARNING, authSetting, isAuthRequired, isLoopback } from "@timespan/runtime/auth-setting";
import {
  duration,
  list,
  port,
  readSettings,
  replacedVariables,
  SettingsError,
  wholeNumber,
} from "@timespan/runtime/settings";
import { z } from "zod";
import type { GateLimits } from "./gate.ts";
import type { HubLimits } from "./hub.ts";

/** Every setting of the error-stream: name, default, limits and meaning. */
export const settings = z.object({
  ...kafkaSettings,
  KAFKA_APM_LOG_ERROR_TOPIC: topicSettings.KAFKA_APM_LOG_ERROR_TOPIC,
  KAFKA_TOPIC_PARTITIONS: topicSettings.KAFKA_TOPIC_PARTITIONS,
  DATABASE_URL: z
    .string()
    .regex(/^postgres(ql)?:\/\//, "must be a URL such as postgres://user:password@host:5432/database")
    .optional()
    .describe(
      "Where the database is, of a user that may act as timespan_reader: for API keys, and to replay errors that are no longer in memory. Without it there are none of either.",
    ),
  AUTH: authSetting,
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
  ERROR_STREAM_CLIENTS_PER_ADDRESS_MAX: wholeNumber(500, 1, 1_000_000).describe(
    "Most clients at once from one address; behind a proxy all have the proxy's.",
  ),
  ERROR_STREAM_CLIENT_BUFFER_KB: wholeNumber(1_024, 16, 1_000_000).describe(
    "Kilobytes that may wait for one slow client; beyond it the oldest events are dropped for it, and it is told how many.",
  ),
  ERROR_STREAM_CLIENT_BUFFER_EVENTS: wholeNumber(10_000, 1, 10_000_000).describe(
    "Events that may wait for one slow client; likewise.",
  ),
  ERROR_STREAM_SLOW_CLIENT_MS: wholeNumber(30_000, 100, 3_600_000).describe(
    "Milliseconds after which a client is closed that takes nothing of what waits for it.",
  ),
  ERROR_STREAM_RING_EVENTS: wholeNumber(10_000, 1, 10_000_000).describe(
    "Newest errors kept in memory for replay; older ones are read from the store.",
  ),
  ERROR_STREAM_RING_MB: wholeNumber(64, 1, 100_000).describe("Megabytes that they may take."),
  RETENTION_LOGS: duration("7d").describe("How long logs are kept, as the stream-processor was told."),
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
  /** Undefined where there is no store. */
  databaseUrl: string | undefined;
  authRequired: boolean;
  http: { hostname: string; port: number; path: string; origins: readonly string[] };
  clients: GateLimits;
  hub: HubLimits;
  logLevel: string;
  warnings: string[];
}

/** @throws {SettingsError} with every problem */
export function readConfig(env: Record<string, string | undefined> = process.env): ErrorStreamConfig {
  const given = readSettings(settings, env);
  const kafka = kafkaConnection(given);
  const authRequired = isAuthRequired(given.AUTH, given.HOST);
  if (authRequired && given.DATABASE_URL === undefined) {
    throw new SettingsError([
      "DATABASE_URL is required where clients need API keys, which are in the database; set it, or AUTH=off",
    ]);
  }
  return {
    kafka: { ...kafka, clientId: given.ERROR_STREAM_KAFKA_CLIENT_ID ?? kafka.clientId },
    databaseUrl: given.DATABASE_URL,
    authRequired,
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
    clients: {
      clientsMax: given.ERROR_STREAM_CLIENTS_MAX,
      clientsPerAddressMax: given.ERROR_STREAM_CLIENTS_PER_ADDRESS_MAX,
    },
    hub: {
      clientBytesMax: given.ERROR_STREAM_CLIENT_BUFFER_KB * 1_000,
      clientFramesMax: given.ERROR_STREAM_CLIENT_BUFFER_EVENTS,
      slowClientMs: given.ERROR_STREAM_SLOW_CLIENT_MS,
      ring: { eventsMax: given.ERROR_STREAM_RING_EVENTS, bytesMax: given.ERROR_STREAM_RING_MB * 1_000_000 },
      retentionMs: given.RETENTION_LOGS,
    },
    logLevel: given.LOG_LEVEL,
    warnings: [
      ...replacedVariables(env),
      ...kafkaWarnings(given),
      ...(authRequired || isLoopback(given.HOST) ? [] : [AUTH_OFF_WARNING]),
    ],
  };
}
