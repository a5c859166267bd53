import { expect, test } from "bun:test";
import { readSettings, SettingsError } from "@timespan/runtime/settings";
import { z } from "zod";
import { kafkaConnection, kafkaSettings } from "../src/kafka-settings.ts";

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

test.each([
  [{}, ["KAFKA_BROKERS is required"]],
  [{ KAFKA_BROKERS: "nohost" }, ["KAFKA_BROKERS: nohost is not host:port"]],
  [
    { KAFKA_BROKERS: "a:1", KAFKA_SASL_MECHANISM: "plain" },
    ["KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD are required with KAFKA_SASL_MECHANISM"],
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
