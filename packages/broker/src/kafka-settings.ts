import { flag, list, SettingsError } from "@timespan/runtime/settings";
import { z } from "zod";

/** Settings of the connection to Kafka, to be spread into an app's schema. */
export const kafkaSettings = {
  KAFKA_BROKERS: list().describe("Brokers to start from, `host:port`, comma-separated. Required."),
  KAFKA_BROKERS_LOCAL: list().describe("Used where `KAFKA_BROKERS` is not set."),
  KAFKA_CLIENT_ID: z.string().default("timespan").describe("Client id shown in Kafka's own logs and quotas."),
  KAFKA_SSL: flag(false).describe("Connect by TLS."),
  KAFKA_SSL_REJECT_UNAUTHORIZED: flag(true).describe("Refuse a broker whose certificate cannot be verified."),
  KAFKA_SASL_MECHANISM: z
    .enum(["plain", "scram-sha-256", "scram-sha-512"])
    .optional()
    .describe("How to log in; no login where it is not set."),
  KAFKA_SASL_USERNAME: z.string().optional().describe("User to log in as."),
  KAFKA_SASL_PASSWORD: z.string().optional().describe("Password of that user."),
  KAFKA_ALLOW_AUTO_TOPIC_CREATION: flag(true).describe("Create missing topics at start."),
};

export type KafkaSettings = z.infer<z.ZodObject<typeof kafkaSettings>>;

/** What a client needs to know to reach Kafka. */
export interface KafkaConnection {
  brokers: string[];
  clientId: string;
  ssl?: { rejectUnauthorized: boolean };
  sasl?: { mechanism: "plain" | "scram-sha-256" | "scram-sha-512"; username: string; password: string };
}

/**
 * The connection that the settings describe.
 * @throws {SettingsError} where they do not fit together
 */
export function kafkaConnection(settings: KafkaSettings): KafkaConnection {
  const problems: string[] = [];
  const brokers = settings.KAFKA_BROKERS.length > 0 ? settings.KAFKA_BROKERS : settings.KAFKA_BROKERS_LOCAL;
  if (brokers.length === 0) problems.push("KAFKA_BROKERS is required");
  for (const broker of brokers) {
    if (!/^[^\s:]+:\d{1,5}$|^\[[^\]]+\]:\d{1,5}$/.test(broker)) {
      problems.push(`KAFKA_BROKERS: ${broker} is not host:port`);
    }
  }
  const {
    KAFKA_SASL_MECHANISM: mechanism,
    KAFKA_SASL_USERNAME: username,
    KAFKA_SASL_PASSWORD: password,
  } = settings;
  if (mechanism !== undefined && (username === undefined || password === undefined)) {
    problems.push("KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD are required with KAFKA_SASL_MECHANISM");
  }
  if (problems.length > 0) throw new SettingsError(problems);
  return {
    brokers,
    clientId: settings.KAFKA_CLIENT_ID,
    ...(settings.KAFKA_SSL ? { ssl: { rejectUnauthorized: settings.KAFKA_SSL_REJECT_UNAUTHORIZED } } : {}),
    ...(mechanism !== undefined && username !== undefined && password !== undefined
      ? { sasl: { mechanism, username, password } }
      : {}),
  };
}
