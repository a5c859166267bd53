import { flag, list, SettingsError } from "@timespan/runtime/settings";
import { z } from "zod";
import { readTlsFiles, type TlsTexts } from "./auth/read-tls-files.ts";

/** Settings of the connection to Kafka, to be spread into an app's schema. */
export const kafkaSettings = {
  KAFKA_BROKERS: list().describe("Brokers to start from, `host:port`, comma-separated. Required."),
  KAFKA_BROKERS_LOCAL: list().describe("Used where `KAFKA_BROKERS` is not set."),
  KAFKA_CLIENT_ID: z.string().default("timespan").describe("Client id shown in Kafka's own logs and quotas."),
  KAFKA_SSL: flag(false).describe("Connect by TLS."),
  KAFKA_SSL_REJECT_UNAUTHORIZED: flag(true).describe("Refuse a broker whose certificate cannot be verified."),
  KAFKA_SSL_CA_FILE: z
    .string()
    .optional()
    .describe(
      "PEM file of the authorities that a broker's certificate may come from, instead of the public ones.",
    ),
  KAFKA_SSL_CERT_FILE: z
    .string()
    .optional()
    .describe("PEM file of our own certificate, and what leads from it to its authority, for mutual TLS."),
  KAFKA_SSL_KEY_FILE: z.string().optional().describe("PEM file of that certificate's private key."),
  KAFKA_SASL_MECHANISM: z
    .string()
    .toLowerCase()
    .pipe(z.enum(["plain", "scram-sha-256", "scram-sha-512", "aws", "aws_msk_iam"]))
    .optional()
    .describe(
      "How to log in: `plain`, `scram-sha-256`, `scram-sha-512`, or `aws` (also `aws_msk_iam`). No login where it is not set.",
    ),
  KAFKA_SASL_USERNAME: z.string().optional().describe("User to log in as, by password."),
  KAFKA_SASL_PASSWORD: z.string().optional().describe("Password of that user."),
  KAFKA_AWS_REGION: z
    .string()
    .regex(/^[a-z]{2,}(-[a-z]+)+-\d+$/, "must be a region such as eu-west-1")
    .optional()
    .describe("Region of the MSK cluster; required with `aws`."),
  AWS_ROLE_SESSION_NAME: z
    .string()
    .default("timespan")
    .describe("With `aws`: session name of a role assumed by web identity; the AWS SDK's own variable."),
  KAFKA_ALLOW_AUTO_TOPIC_CREATION: flag(true).describe("Create missing topics at start."),
};

export type KafkaSettings = z.infer<z.ZodObject<typeof kafkaSettings>>;

export type KafkaLogin =
  | { mechanism: "plain" | "scram-sha-256" | "scram-sha-512"; username: string; password: string }
  | { mechanism: "aws"; region: string; roleSessionName: string };

/** What a broker asks of its clients, beside its address. */
export interface BrokerSecurity {
  ssl?: { rejectUnauthorized: boolean } & TlsTexts;
  sasl?: KafkaLogin;
}

/** What a client needs to know to reach Kafka. Plain data, so that it can be passed to a worker. */
export interface KafkaConnection extends BrokerSecurity {
  brokers: string[];
  clientId: string;
}

/**
 * The connection that the settings describe; reads the files they name.
 * @throws {SettingsError} where they do not fit together
 */
export function kafkaConnection(settings: KafkaSettings): KafkaConnection {
  const brokers = brokersOf(settings);
  const { texts, problems: tlsProblems } = readTlsFiles(settings);
  const { login, problems: loginProblems } = readLogin(settings);
  const problems = [...brokerProblems(brokers), ...tlsProblems, ...loginProblems];
  if (problems.length > 0) throw new SettingsError(problems);
  return {
    brokers,
    clientId: settings.KAFKA_CLIENT_ID,
    ...(settings.KAFKA_SSL && {
      ssl: { rejectUnauthorized: settings.KAFKA_SSL_REJECT_UNAUTHORIZED, ...texts },
    }),
    ...(login && { sasl: login }),
  };
}

/** A sentence for each setting that works but leaves a door open, or has no effect; to be logged at the start. */
export function kafkaWarnings(settings: KafkaSettings): string[] {
  const { KAFKA_SSL: tls, KAFKA_SASL_MECHANISM: mechanism } = settings;
  const warnings: string[] = [];
  const remote = brokersOf(settings).filter((broker) => !isLoopback(broker));
  if (mechanism === "plain" && !tls && remote.length > 0) {
    warnings.push(
      "KAFKA_SASL_MECHANISM=plain without KAFKA_SSL sends the password in clear over the network; set KAFKA_SSL=true or use scram-sha-512",
    );
  }
  if (tls && !settings.KAFKA_SSL_REJECT_UNAUTHORIZED) {
    warnings.push(
      "KAFKA_SSL_REJECT_UNAUTHORIZED=false accepts any certificate, so whoever answers reads everything, the login too; give KAFKA_SSL_CA_FILE instead",
    );
  }
  if (!tls) {
    const unused = (["KAFKA_SSL_CA_FILE", "KAFKA_SSL_CERT_FILE", "KAFKA_SSL_KEY_FILE"] as const).filter(
      (name) => settings[name] !== undefined,
    );
    if (unused.length > 0) warnings.push(`${unused.join(", ")} without KAFKA_SSL=true: not used`);
  }
  if (mechanism === undefined && settings.KAFKA_SASL_USERNAME !== undefined) {
    warnings.push("KAFKA_SASL_USERNAME without KAFKA_SASL_MECHANISM: nobody logs in");
  }
  return warnings;
}

function brokersOf(settings: KafkaSettings): string[] {
  return settings.KAFKA_BROKERS.length > 0 ? settings.KAFKA_BROKERS : settings.KAFKA_BROKERS_LOCAL;
}

function brokerProblems(brokers: readonly string[]): string[] {
  if (brokers.length === 0) return ["KAFKA_BROKERS is required"];
  return brokers
    .filter((broker) => !/^([^\s:@/]+|\[[^\]@/]+\]):\d{1,5}$/.test(broker))
    .map((broker) =>
      // Of user:password@host the password must not reach a log.
      broker.includes("@")
        ? "KAFKA_BROKERS: an entry holds a user; it must be host:port alone, and KAFKA_SASL_USERNAME the user"
        : `KAFKA_BROKERS: ${broker} is not host:port`,
    );
}

function readLogin(settings: KafkaSettings): { login?: KafkaLogin; problems: string[] } {
  const {
    KAFKA_SASL_MECHANISM: mechanism,
    KAFKA_SASL_USERNAME: username,
    KAFKA_SASL_PASSWORD: password,
    KAFKA_AWS_REGION: region,
  } = settings;
  if (mechanism === undefined) return { problems: [] };
  if (mechanism === "aws" || mechanism === "aws_msk_iam") {
    const problems: string[] = [];
    if (region === undefined)
      problems.push(`KAFKA_AWS_REGION is required with KAFKA_SASL_MECHANISM=${mechanism}`);
    if (!settings.KAFKA_SSL)
      problems.push(`KAFKA_SSL=true is required with KAFKA_SASL_MECHANISM=${mechanism}`);
    if (region === undefined || problems.length > 0) return { problems };
    return {
      login: { mechanism: "aws", region, roleSessionName: settings.AWS_ROLE_SESSION_NAME },
      problems,
    };
  }
  if (username === undefined || password === undefined) {
    return {
      problems: ["KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD are required with KAFKA_SASL_MECHANISM"],
    };
  }
  return { login: { mechanism, username, password }, problems: [] };
}

function isLoopback(broker: string): boolean {
  return /^(localhost|127(\.\d+){3}|\[::1\]):\d+$/i.test(broker);
}
