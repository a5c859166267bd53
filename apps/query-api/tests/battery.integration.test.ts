import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { systemClock } from "@timespan/runtime/clock";
import { formatTimestamp, parseTimestamp } from "@timespan/telemetry/timestamp";
import { type TestEngine, testEngines } from "@timespan/testing/test-environment";
import type { LogEvent, SpanEvent } from "@timespan/testing/workload/events";
import { compressChunks } from "./compress-chunks.ts";
import { refreshRollups } from "./refresh-rollups.ts";
import { METRICS, startTestApi, type TestApi } from "./test-api.ts";

/**
 * The same events, questions and answers for whatever the rows lie in. A changed answer is a changed API: delete
 * expected.json, run this test, and read the difference.
 */
const FOLDER = join(import.meta.dir, "../../../fixtures/battery");
const EXPECTED = join(FOLDER, "expected.json");

/** Intervals and rollups must cut the events alike on every run: the last whole three hours. */
const AT_US = Math.floor(Date.now() / 10_800_000) * 10_800_000_000;

const read = (name: string) => readFileSync(join(FOLDER, name), "utf8").trim().split("\n");
const events = read("events.jsonl").map((line): SpanEvent | LogEvent => {
  const { at_us, ...event } = JSON.parse(line);
  return { ...event, timestamp: formatTimestamp(AT_US + at_us) };
});
const queries = read("queries.txt").filter((line) => line !== "" && !line.startsWith("#"));

interface Answer {
  query: string;
  status: number;
  body: unknown;
}

async function ask(api: TestApi, query: string): Promise<Answer> {
  const path = query.replace(/\{(-[\d.]+)\}/g, (_, seconds) =>
    formatTimestamp(AT_US + Math.round(seconds * 1e6)),
  );
  const { status, text } = await api.get(path);
  return { query, status, body: JSON.parse(text, relative) };
}

/** Times as seconds before the moment of asking; without what says where rows lie, and cursors, which hold times. */
function relative(key: string, value: unknown): unknown {
  if (key === "source") return undefined;
  if (key === "next_cursor" && value !== null) return "<cursor>";
  if (typeof value !== "string" || !/^\d{4}-\d{2}-\d{2}T[\d:.]+Z$/.test(value)) return value;
  return `T${((parseTimestamp(value) ?? Number.NaN) - AT_US) / 1e6}`;
}

/** How rows can lie. */
const conditions: [
  name: string,
  engine: TestEngine,
  rollupsEnabled: boolean,
  prepare: (api: TestApi) => Promise<void>,
][] = [
  ["plain PostgreSQL", "postgres", true, async () => {}],
  ["TimescaleDB, as rows come in", "timescaledb", true, async () => {}],
  [
    "TimescaleDB, rollups half refreshed",
    "timescaledb",
    true,
    (api) => refreshRollups(api.url, "timescaledb", AT_US / 1_000 - 7_300_000),
  ],
  [
    "TimescaleDB, everything in the columnstore",
    "timescaledb",
    true,
    async (api) => {
      await refreshRollups(api.url, "timescaledb", AT_US / 1_000);
      await compressChunks(api.url);
    },
  ],
  [
    "TimescaleDB, without rollups",
    "timescaledb",
    false,
    (api) => refreshRollups(api.url, "timescaledb", AT_US / 1_000),
  ],
];

describe("the battery", () => {
  for (const [name, engine, enabled, prepare] of conditions) {
    const present = testEngines().some((candidate) => candidate.engine === engine && candidate.present);
    test.skipIf(!present)(`gives the expected answers on ${name}`, async () => {
      const api = await startTestApi(engine, {
        clock: { ...systemClock, nowMs: () => AT_US / 1_000 },
        metrics: { ...METRICS, rollups: { ...METRICS.rollups, enabled } },
      });
      try {
        await api.store(events);
        await prepare(api);
        const answers: Answer[] = [];
        for (const query of queries) answers.push(await ask(api, query));
        if (!existsSync(EXPECTED)) writeFileSync(EXPECTED, `${JSON.stringify(answers, null, 1)}\n`);
        const expected: Answer[] = JSON.parse(readFileSync(EXPECTED, "utf8"));
        expect(answers.map(({ query }) => query)).toEqual(expected.map(({ query }) => query));
        expect(expected.filter(({ status }) => ![200, 400, 404].includes(status))).toEqual([]);
        for (const [index, answer] of answers.entries()) expect(answer).toEqual(expected[index] as Answer);
      } finally {
        await api.close();
      }
    });
  }

  test("asks every route", async () => {
    const asked = (pattern: RegExp) => queries.filter((query) => pattern.test(query)).length;
    for (const route of [
      /^\/query\/traces\//,
      /^\/query\/spans/,
      /^\/query\/logs/,
      /^\/query\/services(\?|$)/,
      /^\/query\/services\/[^/]+\/metrics/,
      /^\/query\/services\/[^/]+\/traces/,
      /^\/query\/services\/[^/]+\/endpoints(\?|$)/,
      /^\/query\/services\/[^/]+\/endpoints\/.+\/traces/,
    ]) {
      expect(asked(route)).toBeGreaterThan(5);
    }
  });
});
