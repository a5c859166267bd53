import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findFreePort } from "@timespan/local-stack/free-port";
import { createKafka } from "@timespan/local-stack/kafka";
import { systemClock } from "@timespan/runtime/clock";
import { createLogger, type Logger } from "@timespan/runtime/logger";
import { readSettings } from "@timespan/runtime/settings";
import { Kafka, type KafkaConfig, logLevel } from "kafkajs";
import { z } from "zod";
import { kafkajsSecurity } from "../src/auth/kafkajs-security.ts";
import { connectKafka } from "../src/connect-kafka.ts";
import { createConsumer } from "../src/consumer.ts";
import { ensureTopics } from "../src/ensure-topics.ts";
import { type KafkaConnection, kafkaConnection, kafkaSettings } from "../src/kafka-settings.ts";
import { pingBroker } from "../src/ping-broker.ts";
import { createProducer } from "../src/producer.ts";
import { hasOpenssl, makeCertificates, type TestCertificates } from "./security-certificates.ts";

/** A real Kafka with a listener for each way in, and the whole path from the environment's variables to records. */
const USER = "alice";
/** Not ASCII alone, and with characters that a quoting error would show by. */
const PASSWORD = "pä$$ wörd/7+%";
const AWS = { mechanism: "aws", region: "eu-west-1", roleSessionName: "timespan" } as const;
/** What the broker grants a session; kafkajs logs in again 10 s before its end. */
const SESSION_MS = 12_000;
const LISTENERS = ["LOGIN", "TOKEN", "TLS", "LOGIN_TLS", "MUTUAL", "MISNAMED"] as const;
type Listener = (typeof LISTENERS)[number];
const PROTOCOLS: Record<Listener, string> = {
  LOGIN: "SASL_PLAINTEXT",
  TOKEN: "SASL_PLAINTEXT",
  TLS: "SSL",
  LOGIN_TLS: "SASL_SSL",
  MUTUAL: "SSL",
  MISNAMED: "SSL",
};

const home = mkdtempSync(join(tmpdir(), "timespan-security-"));
const listeners = LISTENERS.filter((name) => hasOpenssl || !PROTOCOLS[name].endsWith("SSL"));
const ports = {} as Record<Listener, number>;
let certificates: TestCertificates | undefined;
let server: Awaited<ReturnType<typeof createKafka>>["server"] | undefined;

beforeAll(async () => {
  certificates = hasOpenssl ? makeCertificates() : undefined;
  for (const name of listeners) ports[name] = await findFreePort();
  ({ server } = await createKafka({
    home,
    environment: process.env,
    port: "auto",
    why: "for the tests of its listeners",
    progress: () => {},
    addedProperties: properties(certificates),
    addedFormatArgs: ["SCRAM-SHA-256", "SCRAM-SHA-512"].flatMap((mechanism) => [
      "--add-scram",
      `${mechanism}=[name=${USER},password=${PASSWORD}]`,
    ]),
  }));
  await server.start();
  // The first consumer of a Kafka waits until the topic of its groups is there, and kafkajs complains.
  await roundTrip(connectionTo("LOGIN", login("plain")), createLogger("tests", "silent"));
}, 120_000);

afterAll(async () => {
  await server?.stop();
  certificates?.remove();
  rmSync(home, { recursive: true, force: true });
});

function properties(made: TestCertificates | undefined): string[] {
  const addresses = listeners.map((name) => `${name}://127.0.0.1:${ports[name]}`).join(",");
  const jaas = (listener: string, mechanism: string, text: string) =>
    `listener.name.${listener}.${mechanism}.sasl.jaas.config=org.apache.kafka.common.security.${text} required`;
  const logins = ["login", ...(made ? ["login_tls"] : [])].flatMap((listener) => [
    `listener.name.${listener}.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512`,
    // A properties file is Latin-1; its own escapes say the rest.
    `${jaas(listener, "plain", "plain.PlainLoginModule")} user_${USER}="${escapeProperty(PASSWORD)}";`,
    `${jaas(listener, "scram-sha-256", "scram.ScramLoginModule")};`,
    `${jaas(listener, "scram-sha-512", "scram.ScramLoginModule")};`,
  ]);
  return [
    `listeners=PLAINTEXT://127.0.0.1:@PORT@,CONTROLLER://127.0.0.1:@CONTROLLER_PORT@,${addresses}`,
    `advertised.listeners=PLAINTEXT://127.0.0.1:@PORT@,${addresses}`,
    `listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,${listeners
      .map((name) => `${name}:${PROTOCOLS[name]}`)
      .join(",")}`,
    `connections.max.reauth.ms=${SESSION_MS}`,
    // The delay of a refused login is for those who guess.
    "connection.failed.authentication.delay.ms=0",
    ...logins,
    "listener.name.token.sasl.enabled.mechanisms=OAUTHBEARER",
    `${jaas("token", "oauthbearer", "oauthbearer.OAuthBearerLoginModule")} unsecuredLoginStringClaim_sub="broker";`,
    ...(made
      ? [
          ...["ssl.keystore.type=PEM", `ssl.keystore.location=${made.brokerStore}`],
          ...["ssl.truststore.type=PEM", `ssl.truststore.location=${made.ca}`],
          "listener.name.mutual.ssl.client.auth=required",
          `listener.name.misnamed.ssl.keystore.location=${made.misnamedStore}`,
        ]
      : []),
  ];
}

function escapeProperty(text: string): string {
  return text.replace(
    /[^\x20-\x7e]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** The connection that an app would read from these variables. */
function connectionTo(listener: Listener, env: Record<string, string> = {}): KafkaConnection {
  const KAFKA_BROKERS = `127.0.0.1:${ports[listener]}`;
  return kafkaConnection(readSettings(z.object(kafkaSettings), { KAFKA_BROKERS, ...env }));
}

function login(mechanism: string, password = PASSWORD): Record<string, string> {
  return { KAFKA_SASL_MECHANISM: mechanism, KAFKA_SASL_USERNAME: USER, KAFKA_SASL_PASSWORD: password };
}

/** Files of the certificates that were made; none where the tests that ask for them are skipped. */
function files(made = certificates) {
  const tls = { KAFKA_SSL: "true", KAFKA_SSL_CA_FILE: made?.ca ?? "" };
  return {
    tls,
    mutual: {
      ...tls,
      KAFKA_SSL_CERT_FILE: made?.clientCert ?? "",
      KAFKA_SSL_KEY_FILE: made?.clientKey ?? "",
    },
    strangerCa: { ...tls, KAFKA_SSL_CA_FILE: made?.strangerCa ?? "" },
    stranger: {
      ...tls,
      KAFKA_SSL_CERT_FILE: made?.strangerCert ?? "",
      KAFKA_SSL_KEY_FILE: made?.strangerKey ?? "",
    },
  };
}

/** A logger that keeps what is logged from warnings up. */
function recordingLogger(): { logger: Logger; lines: string[] } {
  const lines: string[] = [];
  const record = (fields: unknown, message?: string) => {
    lines.push(`${message} ${JSON.stringify(fields)}`);
  };
  return { logger: Object.assign(createLogger("tests", "silent"), { error: record, warn: record }), lines };
}

/** Writes records to a topic of their own and reads them back; returns what was read. */
async function roundTrip(connection: KafkaConnection, logger: Logger): Promise<(string | undefined)[]> {
  const topic = `security-${crypto.randomUUID()}`;
  const kafka = connectKafka(connection, logger);
  await ensureTopics(kafka, [topic], 1);
  const producer = await createProducer(kafka);
  await producer.send(topic, [
    { key: null, value: "first" },
    { key: null, value: "second" },
  ]);
  await producer.disconnect();
  const consumer = createConsumer(kafka, {
    groupId: topic,
    topics: [topic],
    concurrentPartitions: 1,
    ownGroup: true,
  });
  const read: (string | undefined)[] = [];
  const all = Promise.withResolvers<void>();
  try {
    await consumer.start((event) => {
      if (event.kind === "crashed" && !event.restarting) all.reject(event.error);
      if (event.kind === "assigned") {
        for (const target of event.partitions) consumer.seek(target, 0);
        consumer.resume(event.partitions);
      }
      if (event.kind === "records") {
        read.push(...event.records.map(({ value }) => value?.toString()));
        if (read.length >= 2) all.resolve();
      }
    });
    await all.promise;
  } finally {
    await consumer.stop();
  }
  return read;
}

/** What a person is told who cannot get in: the error of a first connection, and what was logged meanwhile. */
async function refusal(connection: KafkaConnection): Promise<{ message: string; everything: string }> {
  const { logger, lines } = recordingLogger();
  const error = await pingBroker(connection.brokers, connection).then(
    () => new Error("was let in"),
    (error: Error) => error,
  );
  if (connection.sasl !== undefined) {
    // Not retried, so it also shows what an app logs when it starts.
    await createProducer(connectKafka(connection, logger)).catch((error: Error) =>
      lines.push(Bun.inspect(error)),
    );
  }
  return { message: error.message, everything: [Bun.inspect(error), ...lines].join("\n") };
}

describe.each(["plain", "scram-sha-256", "scram-sha-512"])("a login by %s", (mechanism) => {
  test("writes and reads", async () => {
    const { logger, lines } = recordingLogger();
    expect(await roundTrip(connectionTo("LOGIN", login(mechanism)), logger)).toEqual(["first", "second"]);
    expect(lines).toEqual([]);
  });

  test("with a wrong password is refused in so many words, at once, and tells no password", async () => {
    const { message, everything } = await refusal(connectionTo("LOGIN", login(mechanism, "hunter2-wrong")));
    expect(message).toMatch(/^SASL (PLAIN|SCRAM SHA(256|512)) authentication failed: /);
    expect(message).toMatch(/Authentication failed/);
    expect(everything.split("authentication failed").length).toBeGreaterThan(2);
    expect(everything).not.toContain("hunter2");
    expect(everything).not.toContain(Buffer.from("hunter2-wrong").toString("base64"));
  });
});

test("a mechanism that the listener does not offer is refused in so many words", async () => {
  const { message } = await refusal(connectionTo("TOKEN", login("plain")));
  expect(message).toContain("does not support the requested SASL mechanism");
});

describe.skipIf(!hasOpenssl)("TLS", () => {
  test.each([
    ["an authority of our own", "TLS", () => files().tls],
    ["a login within it", "LOGIN_TLS", () => ({ ...files().tls, ...login("scram-sha-512") })],
    ["a password within it", "LOGIN_TLS", () => ({ ...files().tls, ...login("plain") })],
    ["a certificate of our own", "MUTUAL", () => files().mutual],
    [
      "nothing verified, as asked for",
      "MISNAMED",
      () => ({ KAFKA_SSL: "true", KAFKA_SSL_REJECT_UNAUTHORIZED: "false" }),
    ],
  ] as const)("with %s writes and reads", async (_, listener, env) => {
    const { logger, lines } = recordingLogger();
    expect(await roundTrip(connectionTo(listener, env()), logger)).toEqual(["first", "second"]);
    expect(lines).toEqual([]);
  });

  test.each([
    ["that an unknown authority signed", "TLS", () => files().strangerCa, /certificate/i],
    ["that no public authority signed", "TLS", () => ({ KAFKA_SSL: "true" }), /certificate/i],
    ["of another host", "MISNAMED", () => files().tls, /127\.0\.0\.1/],
  ] as const)("refuses a broker with a certificate %s", async (_, listener, env, reason) => {
    const { message } = await refusal(connectionTo(listener, env()));
    expect(message).toStartWith("Connection error: ");
    expect(message).toMatch(reason);
  });

  test.each([
    ["without a certificate", () => files().tls],
    ["with one of another authority", () => files().stranger],
  ])("a client %s is refused where the broker asks for one", async (_, env) => {
    const { message } = await refusal(connectionTo("MUTUAL", env()));
    expect(message).not.toBe("was let in");
    expect(message).toMatch(/certificate|Connection|closed/i);
  });
});

describe("a session that the broker ends", () => {
  /** Sends for longer than a session lasts; resolves with how kafkajs kept it up after the first record. */
  async function outlastSession(listener: Listener, sasl: KafkaConfig["sasl"]) {
    const topic = `security-${crypto.randomUUID()}`;
    const setup = connectionTo("LOGIN", login("scram-sha-512"));
    await ensureTopics(connectKafka(setup, createLogger("tests", "silent")), [topic], 1);
    const said: string[] = [];
    const complaints: string[] = [];
    const kafka = new Kafka({
      brokers: [`127.0.0.1:${ports[listener]}`],
      ...(sasl && { sasl }),
      logLevel: logLevel.DEBUG,
      logCreator: () => (entry) => {
        said.push(entry.log.message);
        if (entry.level <= logLevel.WARN) complaints.push(entry.log.message);
      },
    });
    const producer = await createProducer(kafka);
    const send = () => producer.send(topic, [{ key: null, value: "again" }]);
    await send();
    const before = said.length;
    const until = systemClock.nowMs() + SESSION_MS + 1_500;
    while (systemClock.nowMs() < until) {
      await send();
      await systemClock.sleep(400);
    }
    const after = said.slice(before);
    await producer.disconnect();
    return {
      connections: after.filter((message) => message === "Connecting").length,
      logins: after.filter((message) => message.startsWith("Request SaslHandshake")).length,
      complaints,
    };
  }

  test.concurrent("is renewed in time on the same connection, by a login with password", async () => {
    const { sasl } = kafkajsSecurity(connectionTo("LOGIN", login("scram-sha-512")));
    const { connections, logins, complaints } = await outlastSession("LOGIN", sasl);
    expect({ connections, complaints }).toEqual({ connections: 0, complaints: [] });
    expect(logins).toBeGreaterThan(3);
  });

  test.concurrent("is renewed in time on the same connection, with a new token for each login", async () => {
    let tokens = 0;
    // In place of MSK, which alone verifies its tokens: Kafka's own unsigned ones, by the same path.
    const { sasl } = kafkajsSecurity({ sasl: AWS }, async () => async () => {
      tokens++;
      return unsignedToken(systemClock.nowMs() / 1_000, SESSION_MS / 1_000);
    });
    const { connections, logins, complaints } = await outlastSession("TOKEN", sasl);
    expect({ connections, complaints }).toEqual({ connections: 0, complaints: [] });
    expect(logins).toBeGreaterThan(3);
    expect(tokens).toBeGreaterThan(logins);
  });

  test("a token that the broker refuses is refused in so many words, and not repeated", async () => {
    const { sasl } = kafkajsSecurity({ sasl: AWS }, async () => async () => "hunter2.hunter2.hunter2");
    const lines: string[] = [];
    const kafka = new Kafka({
      brokers: [`127.0.0.1:${ports.TOKEN}`],
      ...(sasl && { sasl }),
      retry: { retries: 0 },
      logCreator: () => (entry) => lines.push(JSON.stringify(entry)),
    });
    const error = await createProducer(kafka).catch((error: Error) => error);
    expect(String(error)).toContain("SASL OAUTHBEARER authentication failed");
    expect(`${Bun.inspect(error)}${lines.join("\n")}`).not.toContain("hunter2");
  });
});

function unsignedToken(issuedSeconds: number, lifetimeSeconds: number): string {
  const encode = (part: object) => Buffer.from(JSON.stringify(part)).toString("base64url");
  const claims = { sub: USER, iat: issuedSeconds, exp: issuedSeconds + lifetimeSeconds };
  return `${encode({ alg: "none" })}.${encode(claims)}.`;
}
