import { expect, test } from "bun:test";
import { addressLines, commandLines } from "../src/announce.ts";
import { readConfig } from "../src/config.ts";

const stack = {
  databaseUrl: "postgres://timespan:secret@127.0.0.1:5433/timespan",
  kafkaBrokers: ["127.0.0.1:9092"],
  queryApiUrl: "http://127.0.0.1:3001",
  errorStreamUrl: "ws://127.0.0.1:3010/ws/error-logs",
  engine: "postgres",
} as const;

test("addresses are shown without the password", () => {
  const lines = addressLines(readConfig({}), stack).join("\n");
  expect(lines).toContain("postgres://timespan@127.0.0.1:5433/timespan");
  expect(lines).toContain(".timespan/env");
  expect(lines).toContain("http://127.0.0.1:3010/ ");
  expect(lines).not.toContain("secret");
});

test("where others can connect, how to make a key is shown too", () => {
  expect(addressLines(readConfig({}), stack).join("\n")).not.toContain("API key");
  expect(addressLines(readConfig({ HOST: "0.0.0.0" }), stack).join("\n")).toContain("keys create");
});

test("without psql and npx the commands need Bun alone, and a path with blanks is one word", () => {
  const lines = commandLines(readConfig({ PATH: "/nowhere", TIMESPAN_HOME: "/my home" }), stack);
  expect(lines.filter((line) => line.startsWith("    "))).toEqual([
    "    curl -s 'http://127.0.0.1:3001/query/spans?status=ERROR&kind=SERVER&from=now-15m&sort=duration_desc&size=3'",
    expect.stringMatching(
      /^ {4}bun --env-file='\/my home\/env' -e 'console\.table\(await Bun\.sql`SELECT .*`\)'$/,
    ),
    `    bun -e 'new WebSocket("ws://127.0.0.1:3010/ws/error-logs").onmessage = (m) => console.log(m.data)'`,
  ]);
});
