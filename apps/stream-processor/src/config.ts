import { availableParallelism } from "node:os";
import {
  type KafkaConnection,
  kafkaConnection,
  kafkaSettings,
  kafkaWarnings,
} from "@timespan/broker/kafka-settings";
import { topicSettings } from "@timespan/broker/topics";
import { port, readSettings, replacedVariables, wholeNumber } from "@timespan/runtime/settings";
import type { RollupSettings } from "@timespan/store/storage/maintain-rollups";
import type { StorageSettings } from "@timespan/store/storage/save-storage-settings";
import type { GuardOptions } from "@timespan/telemetry/guards";
import { z } from "zod";
import { guardOptions, guardSettings, guardWarnings } from "./guard-settings.ts";
import type { IngestLimits } from "./ingest-loop.ts";
import { retentionSettings, storageSettings } from "./retention-settings.ts";
import type { ThroughputSettings } from "./throughput-log.ts";

const BYTES_PER_MB = 1_000_000;

/** Every setting of the stream-processor: name, default, limits and meaning. */
export const settings = z.object({
  DATABASE_URL: z
    .string()
    .describe("PostgreSQL or TimescaleDB, `postgres://user:password@host:port/database`."),
  DATABASE_POOL_MAX: wholeNumber(6, 2, 100).describe("Most connections of one worker to the database."),
  WORKERS: wholeNumber(availableParallelism(), 1, 64)
    .describe("Worker threads that read and write, at most one a partition. Default: the machine's cores.")
    .meta({ defaultText: "cores" }),
  ...kafkaSettings,
  ...topicSettings,
  KAFKA_CONSUMER_GROUP: z.string().default("timespan-stream-processor").describe("Consumer group for logs."),
  KAFKA_SPAN_CONSUMER_GROUP: z
    .string()
    .optional()
    .describe("Consumer group for spans, where it should not be that of the logs."),
  KAFKA_SPAN_CLIENT_ID: z.string().optional().describe("Client id of the consumer of that group."),
  KAFKA_SESSION_TIMEOUT_MS: wholeNumber(30_000, 6_000, 300_000).describe(
    "A process that Kafka does not hear from for this many milliseconds loses its partitions to the others.",
  ),
  KAFKA_CONCURRENT_PARTITIONS: wholeNumber(3, 1, 1_000).describe(
    "Partitions that are decoded in turn at once.",
  ),
  BULK_BATCH_SIZE: wholeNumber(5_000, 1, 100_000).describe(
    "A batch is written when it has this many events.",
  ),
  BULK_BATCH_BYTES_MB: wholeNumber(10, 1, 100).describe(
    "A batch is written when its events have this many megabytes.",
  ),
  BULK_FLUSH_INTERVAL_MS: wholeNumber(1_000, 10, 60_000).describe(
    "A batch is written when its first event has waited this many milliseconds.",
  ),
  BULK_MAX_PARALLEL_FLUSHES: wholeNumber(3, 1, 64).describe(
    "Batches, each of another partition, written at once.",
  ),
  INGEST_BUFFER_MB: wholeNumber(64, 1, 16_000).describe(
    "Partitions pause while this many megabytes of events, and of the rows made of them, wait to be written, in all workers together.",
  ),
  STREAM_THROUGHPUT_TARGET_COUNT: wholeNumber(0, 0, 1_000_000_000).describe(
    "A throughput line is logged after this many records; 0 logs none.",
  ),
  STREAM_THROUGHPUT_MIN_INTERVAL_MS: wholeNumber(10_000, 0, 3_600_000).describe(
    "Least milliseconds between two throughput lines of one worker.",
  ),
  STREAM_THROUGHPUT_BATCH_SIZE: wholeNumber(5_000, 1, 1_000_000_000).describe(
    "Records after which it is looked whether a throughput line is due.",
  ),
  ...retentionSettings,
  ...guardSettings,
  HOST: z
    .string()
    .default("127.0.0.1")
    .describe("Address on which health, readiness and metrics are served."),
  STREAM_PROCESSOR_PORT: port(3002).describe("Port on which they are served."),
  LOG_LEVEL: z
    .enum(["debug", "info", "warn", "error"])
    .default("info")
    .describe("Least severe line that is logged."),
});

/** What a topic carries. */
export type SignalTopic = "spans" | "logs" | "otlpSpans" | "otlpLogs";

/** One member of a consumer group and what it reads. */
export interface GroupConfig {
  connection: KafkaConnection;
  groupId: string;
  signals: readonly SignalTopic[];
}

export interface StreamProcessorConfig {
  database: { url: string; poolMaxPerWorker: number };
  workers: number;
  groups: GroupConfig[];
  concurrentPartitions: number;
  sessionTimeoutMs: number;
  topics: Record<SignalTopic | "errors", string>;
  /** Partitions of a created topic; undefined where topics must not be created. */
  createTopicsWithPartitions: number | undefined;
  limits: IngestLimits;
  guards: GuardOptions;
  throughput: ThroughputSettings;
  storage: StorageSettings;
  rollups: RollupSettings;
  http: { hostname: string; port: number };
  logLevel: string;
  warnings: string[];
}

/** @throws {SettingsError} with every problem */
export function readConfig(env: Record<string, string | undefined> = process.env): StreamProcessorConfig {
  const given = readSettings(settings, env);
  const connection = kafkaConnection(given);
  const guards = guardOptions(given);
  const spanGroup = given.KAFKA_SPAN_CONSUMER_GROUP ?? given.KAFKA_CONSUMER_GROUP;
  const apart = spanGroup !== given.KAFKA_CONSUMER_GROUP;
  return {
    database: { url: given.DATABASE_URL, poolMaxPerWorker: given.DATABASE_POOL_MAX },
    workers: given.WORKERS,
    groups: apart
      ? [
          { connection, groupId: given.KAFKA_CONSUMER_GROUP, signals: ["logs", "otlpLogs"] },
          {
            connection: { ...connection, clientId: given.KAFKA_SPAN_CLIENT_ID ?? connection.clientId },
            groupId: spanGroup,
            signals: ["spans", "otlpSpans"],
          },
        ]
      : [
          {
            connection,
            groupId: given.KAFKA_CONSUMER_GROUP,
            signals: ["spans", "logs", "otlpSpans", "otlpLogs"],
          },
        ],
    sessionTimeoutMs: given.KAFKA_SESSION_TIMEOUT_MS,
    concurrentPartitions: given.KAFKA_CONCURRENT_PARTITIONS,
    topics: {
      spans: given.KAFKA_APM_SPAN_TOPIC,
      logs: given.KAFKA_APM_LOG_TOPIC,
      otlpSpans: given.KAFKA_OTLP_SPAN_TOPIC,
      otlpLogs: given.KAFKA_OTLP_LOG_TOPIC,
      errors: given.KAFKA_APM_LOG_ERROR_TOPIC,
    },
    createTopicsWithPartitions: given.KAFKA_ALLOW_AUTO_TOPIC_CREATION
      ? given.KAFKA_TOPIC_PARTITIONS
      : undefined,
    limits: {
      batchRowsMax: given.BULK_BATCH_SIZE,
      batchBytesMax: given.BULK_BATCH_BYTES_MB * BYTES_PER_MB,
      batchAgeMsMax: given.BULK_FLUSH_INTERVAL_MS,
      parallelWritesMax: given.BULK_MAX_PARALLEL_FLUSHES,
      bufferedBytesMax: (given.INGEST_BUFFER_MB * BYTES_PER_MB) / given.WORKERS,
      retentionSpansMs: given.RETENTION_SPANS,
      retentionLogsMs: given.RETENTION_LOGS,
      lateAfterMs: given.LATE_AFTER,
    },
    guards,
    throughput: {
      targetCount: given.STREAM_THROUGHPUT_TARGET_COUNT,
      intervalMsMin: given.STREAM_THROUGHPUT_MIN_INTERVAL_MS,
      sampleEvery: given.STREAM_THROUGHPUT_BATCH_SIZE,
    },
    storage: storageSettings(given, env),
    rollups: {
      lateAfterMs: given.LATE_AFTER,
      refreshIntervalMs: given.ROLLUP_REFRESH_INTERVAL,
      refreshDelayMs: given.ROLLUP_REFRESH_DELAY,
    },
    http: { hostname: given.HOST, port: given.STREAM_PROCESSOR_PORT },
    logLevel: given.LOG_LEVEL,
    warnings: [...replacedVariables(env), ...kafkaWarnings(given), ...guardWarnings(guards)],
  };
}
