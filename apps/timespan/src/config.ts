import { join, resolve } from "node:path";
import { type KafkaConnection, kafkaConnection, kafkaSettings } from "@timespan/broker/kafka-settings";
import { topicSettings } from "@timespan/broker/topics";
import { authSetting, isAuthRequired } from "@timespan/runtime/auth-setting";
import { type Environment, port, readSettings } from "@timespan/runtime/settings";
import { z } from "zod";

/** The folder of the repository: what `up` starts lies below it. */
export const REPOSITORY = resolve(import.meta.dir, "../../..");

const REDIS_PORT_GIVEN = 6379;
const REDIS_PORT_LOCAL = 6380;

/** Every setting of the `timespan` command: name, default, limits and meaning. */
export const settings = z.object({
  TIMESPAN_HOME: z
    .string()
    .default(join(REPOSITORY, ".timespan"))
    .describe("Folder of the local stack's state: data, logs, pid files, `env`."),
  DATABASE_URL: z
    .url()
    .optional()
    .describe("A PostgreSQL that runs already; otherwise one is found or started."),
  ...kafkaSettings,
  ...topicSettings,
  KAFKA_BROKERS: kafkaSettings.KAFKA_BROKERS.describe(
    "Brokers that run already, `host:port`, comma-separated. Otherwise one is started.",
  ),
  REDIS_HOST: z
    .string()
    .optional()
    .describe("A Redis that runs already; otherwise one is started if installed."),
  REDIS_PORT: port(REDIS_PORT_LOCAL).describe(
    "Of the Redis that is started; where `REDIS_HOST` is set, its port, 6379 by default.",
  ),
  POSTGRES_PORT: port(5433).describe("Of the PostgreSQL that is started."),
  KAFKA_PORT: port(9092).describe("Of the Kafka that is started."),
  PORT: port(3001).describe("Of the query API."),
  ERROR_STREAM_PORT: port(3010).describe("Of the live error channel."),
  ERROR_STREAM_WS_PATH: z.string().default("/ws/error-logs").describe("Its path for WebSocket clients."),
  STREAM_PROCESSOR_PORT: port(3002).describe("Of the stream processor's health, readiness and metrics."),
  HOST: z.string().default("127.0.0.1").describe("Interface on which the apps listen."),
  AUTH: authSetting,
  TIMESPAN_PG_BIN: z
    .string()
    .optional()
    .describe("Folder with initdb and postgres of a PostgreSQL that carries TimescaleDB Community."),
  TIMESPAN_DOCKER: z
    .enum(["auto", "never"])
    .default("auto")
    .describe("`auto` takes the servers from compose.yaml when a Docker engine answers."),
});

export interface Config {
  /** Absolute. */
  home: string;
  given: {
    databaseUrl: string | undefined;
    kafka: KafkaConnection | undefined;
    redis: { host: string; port: number } | undefined;
  };
  ports: { postgres: number; kafka: number; redis: number };
  /** Where each app listens. */
  host: string;
  authRequired: boolean;
  appPorts: { queryApi: number; errorStream: number; streamProcessor: number };
  errorStreamPath: string;
  pgBin: string | undefined;
  docker: "auto" | "never";
  topics: { logs: string; spans: string };
  /** What the processes we start inherit. */
  environment: Environment;
}

/**
 * The settings of the `timespan` command.
 * @throws {SettingsError} with all problems at once
 */
export function readConfig(environment: Environment = process.env): Config {
  const given = readSettings(settings, environment);
  const redisPortSet = (environment.REDIS_PORT ?? "").trim() !== "";
  const kafkaGiven = given.KAFKA_BROKERS.length > 0 || given.KAFKA_BROKERS_LOCAL.length > 0;
  return {
    home: resolve(given.TIMESPAN_HOME),
    given: {
      databaseUrl: given.DATABASE_URL,
      kafka: kafkaGiven ? kafkaConnection(given) : undefined,
      redis:
        given.REDIS_HOST === undefined
          ? undefined
          : { host: given.REDIS_HOST, port: redisPortSet ? given.REDIS_PORT : REDIS_PORT_GIVEN },
    },
    ports: {
      postgres: given.POSTGRES_PORT,
      kafka: given.KAFKA_PORT,
      redis: given.REDIS_PORT,
    },
    host: given.HOST,
    authRequired: isAuthRequired(given.AUTH, given.HOST),
    appPorts: {
      queryApi: given.PORT,
      errorStream: given.ERROR_STREAM_PORT,
      streamProcessor: given.STREAM_PROCESSOR_PORT,
    },
    errorStreamPath: given.ERROR_STREAM_WS_PATH,
    pgBin: given.TIMESPAN_PG_BIN,
    docker: given.TIMESPAN_DOCKER,
    topics: { logs: given.KAFKA_APM_LOG_TOPIC, spans: given.KAFKA_APM_SPAN_TOPIC },
    environment,
  };
}
