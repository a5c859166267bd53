import { expect, test } from "bun:test";
import { z } from "zod";
import {
  duration,
  flag,
  list,
  port,
  readSettings,
  replacedVariables,
  SettingsError,
  wholeNumber,
} from "../src/settings.ts";

const schema = z.object({
  NAME: z.string(),
  COUNT: wholeNumber(3, 1, 10),
  PORT: port(3001),
  SECURE: flag(false),
  BROKERS: list(),
  KEEP: duration("7d"),
});

test("defaults, units and an empty variable that counts as absent", () => {
  expect(
    readSettings(schema, {
      NAME: "a",
      COUNT: "",
      PORT: " 80 ",
      SECURE: "yes",
      BROKERS: "a:1, b:2,",
      KEEP: "90s",
    }),
  ).toEqual({
    NAME: "a",
    COUNT: 3,
    PORT: 80,
    SECURE: true,
    BROKERS: ["a:1", "b:2"],
    KEEP: 90_000,
  });
});

test("all problems are listed at once, each with its variable; a bad number is no NaN", () => {
  const read = () =>
    readSettings(schema, { COUNT: "many", PORT: "0", SECURE: "perhaps", KEEP: "7 fortnights" });
  expect(read).toThrow(SettingsError);
  try {
    read();
  } catch (error) {
    expect(error).toBeInstanceOf(SettingsError);
    expect((error as SettingsError).problems.toSorted()).toEqual([
      "COUNT must be a whole number",
      "KEEP must be a length of time such as 90s, 15m, 6h or 7d",
      "NAME is required",
      "PORT must be at least 1",
      "SECURE must be true or false",
    ]);
  }
});

test.each(["0d", "-1d", "1.5h", "9999999d", "d"])("a length of time of %s is refused", (text) => {
  expect(() => readSettings(schema, { NAME: "a", KEEP: text })).toThrow(SettingsError);
});

test("a variable of the old backend is named with what replaced it", () => {
  expect(
    replacedVariables({ ELASTICSEARCH_NODE: "http://es:9200", DATABASE_URL: "x", ROLLUP_ENABLED: "true" }),
  ).toEqual([
    "ELASTICSEARCH_NODE is no longer used; set DATABASE_URL: spans and logs are stored in PostgreSQL",
  ]);
});
