import { describe, expect, test } from "bun:test";
import { readSettings, SettingsError } from "@timespan/runtime/settings";
import { z } from "zod";
import { kafkaConnection, kafkaSettings, kafkaWarnings } from "../src/kafka-settings.ts";

const warnings = (env: Record<string, string>) => kafkaWarnings(readSettings(z.object(kafkaSettings), env));
const read = (env: Record<string, string>) => kafkaConnection(readSettings(z.object(kafkaSettings), env));

test("brokers, and nothing else where nothing else is set", () => {
  expect(read({ KAFKA_BROKERS: "a:9092, b:9093" })).toEqual({
    brokers: ["a:9092", "b:9093"],
    clientId: "timespan",
  });
  expect(read({ KAFKA_BROKERS_LOCAL: "[::1]:9092" }).brokers).toEqual(["[::1]:9092"]);
});

test("TLS and a login", () => {
  expect(
    read({
      KAFKA_BROKERS: "a:1",
      KAFKA_SSL: "true",
      KAFKA_SSL_REJECT_UNAUTHORIZED: "false",
      KAFKA_SASL_MECHANISM: "scram-sha-512",
      KAFKA_SASL_USERNAME: "u",
      KAFKA_SASL_PASSWORD: "p",
    }),
  ).toMatchObject({
    ssl: { rejectUnauthorized: false },
    sasl: { mechanism: "scram-sha-512", username: "u", password: "p" },
  });
});

test("the mechanism in capitals, as Java's clients write it", () => {
  expect(
    read({
      KAFKA_BROKERS: "a:1",
      KAFKA_SASL_MECHANISM: "SCRAM-SHA-256",
      KAFKA_SASL_USERNAME: "u",
      KAFKA_SASL_PASSWORD: "p",
    }).sasl,
  ).toEqual({ mechanism: "scram-sha-256", username: "u", password: "p" });
});

test.each(["aws", "aws_msk_iam", "AWS_MSK_IAM"])("MSK IAM as %s", (mechanism) => {
  const env = {
    KAFKA_BROKERS: "b-1.example.kafka.eu-west-1.amazonaws.com:9098",
    KAFKA_SSL: "true",
    KAFKA_SASL_MECHANISM: mechanism,
    KAFKA_AWS_REGION: "eu-west-1",
  };
  expect(read(env).sasl).toEqual({ mechanism: "aws", region: "eu-west-1", roleSessionName: "timespan" });
  expect(read({ ...env, AWS_ROLE_SESSION_NAME: "pod-7" }).sasl).toMatchObject({ roleSessionName: "pod-7" });
});

test("the connection is plain data, so that a worker can be handed it", () => {
  const connection = read({
    KAFKA_BROKERS: "a:1",
    KAFKA_SSL: "true",
    KAFKA_SASL_MECHANISM: "aws",
    KAFKA_AWS_REGION: "us-gov-west-1",
  });
  expect(structuredClone(connection)).toEqual(connection);
});

test.each([
  [{}, ["KAFKA_BROKERS is required"]],
  [{ KAFKA_BROKERS: "nohost" }, ["KAFKA_BROKERS: nohost is not host:port"]],
  [
    { KAFKA_BROKERS: "a:1", KAFKA_SASL_MECHANISM: "plain" },
    ["KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD are required with KAFKA_SASL_MECHANISM"],
  ],
  [
    { KAFKA_BROKERS: "a:1", KAFKA_SASL_MECHANISM: "aws" },
    [
      "KAFKA_AWS_REGION is required with KAFKA_SASL_MECHANISM=aws",
      "KAFKA_SSL=true is required with KAFKA_SASL_MECHANISM=aws",
    ],
  ],
  [
    { KAFKA_BROKERS: "a:1", KAFKA_SASL_MECHANISM: "oauthbearer" },
    [
      'KAFKA_SASL_MECHANISM Invalid option: expected one of "plain"|"scram-sha-256"|"scram-sha-512"|"aws"|"aws_msk_iam"',
    ],
  ],
  [
    { KAFKA_BROKERS: "a:1", KAFKA_AWS_REGION: "Ireland" },
    ["KAFKA_AWS_REGION must be a region such as eu-west-1"],
  ],
  [
    { KAFKA_BROKERS: "a:1", KAFKA_SSL_CA_FILE: "/missing/ca.pem" },
    ["KAFKA_SSL_CA_FILE: cannot read /missing/ca.pem: there is no such file"],
  ],
])("%p is refused", (env, problems) => {
  try {
    read(env as Record<string, string>);
    throw new Error("was accepted");
  } catch (error) {
    expect(error).toBeInstanceOf(SettingsError);
    expect((error as SettingsError).problems).toEqual(problems);
  }
});

test("what is refused never repeats a password, wherever it was put by mistake", () => {
  const SECRET = "hunter2";
  for (const env of [
    { KAFKA_BROKERS: `user:${SECRET}@a:1` },
    { KAFKA_BROKERS: `user@${SECRET}:1` },
    { KAFKA_BROKERS: "a", KAFKA_SASL_MECHANISM: "plain", KAFKA_SASL_PASSWORD: SECRET },
    { KAFKA_BROKERS: "a:1", KAFKA_SASL_MECHANISM: SECRET },
    { KAFKA_BROKERS: "a:1", KAFKA_SSL: SECRET },
  ]) {
    expect(() => read(env)).toThrow(SettingsError);
    try {
      read(env);
    } catch (error) {
      expect(String(error)).not.toContain(SECRET);
    }
  }
});

describe("warnings", () => {
  const login = {
    KAFKA_SASL_MECHANISM: "plain",
    KAFKA_SASL_USERNAME: "u",
    KAFKA_SASL_PASSWORD: "hunter2",
  };

  test("of a password that would cross the network in clear", () => {
    const [warning, ...others] = warnings({ KAFKA_BROKERS: "localhost:1,kafka.example:9092", ...login });
    expect(others).toEqual([]);
    expect(warning).toStartWith("KAFKA_SASL_MECHANISM=plain without KAFKA_SSL sends the password in clear");
    expect(warning).not.toContain("hunter2");
  });

  test.each([
    { KAFKA_BROKERS: "localhost:1,127.0.0.1:2,[::1]:3", ...login },
    { KAFKA_BROKERS: "kafka.example:9093", KAFKA_SSL: "true", ...login },
    { KAFKA_BROKERS: "kafka.example:9092", ...login, KAFKA_SASL_MECHANISM: "scram-sha-256" },
    { KAFKA_BROKERS: "kafka.example:9092" },
  ])("none for %p", (env) => {
    expect(warnings(env)).toEqual([]);
  });

  test("of certificates that nobody verifies", () => {
    expect(
      warnings({ KAFKA_BROKERS: "a:1", KAFKA_SSL: "true", KAFKA_SSL_REJECT_UNAUTHORIZED: "false" }),
    ).toEqual([
      "KAFKA_SSL_REJECT_UNAUTHORIZED=false accepts any certificate, so whoever answers reads everything, the login too; give KAFKA_SSL_CA_FILE instead",
    ]);
  });

  test("of settings without effect", () => {
    expect(warnings({ KAFKA_BROKERS: "a:1", KAFKA_SSL_CA_FILE: "ca.pem", KAFKA_SASL_USERNAME: "u" })).toEqual(
      [
        "KAFKA_SSL_CA_FILE without KAFKA_SSL=true: not used",
        "KAFKA_SASL_USERNAME without KAFKA_SASL_MECHANISM: nobody logs in",
      ],
    );
  });
});
