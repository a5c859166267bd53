import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { closeDatabase } from "@timespan/store/database";
import { logList } from "@timespan/telemetry/api/list-answer";
import { LOG_LEVELS } from "@timespan/telemetry/severity";
import { formatTimestamp } from "@timespan/telemetry/timestamp";
import { logEvent, randomHex, uniqueName } from "@timespan/testing/events";
import { openAsSuperuser } from "@timespan/testing/test-database";
import { testEngines } from "@timespan/testing/test-environment";
import type { LogEvent } from "@timespan/testing/workload/events";
import { expectedLog } from "./expected-items.ts";
import { minutesAgo, startTestApi, type TestApi } from "./test-api.ts";

const BASE_US = minutesAgo(10) * 1_000;
const TRACE = randomHex(16);
const SPAN = "ffeeddccbbaa9988";

/** Oldest first; the first two are outside the default window. */
const events: LogEvent[] = [
  { timestamp: formatTimestamp(minutesAgo(120) * 1_000), message: "two hours ago" },
  { timestamp: formatTimestamp(minutesAgo(16) * 1_000), message: "sixteen minutes ago" },
  { timestamp: at(0), level: "DEBUG" as const, message: "100% done", trace_id: TRACE, span_id: SPAN },
  { timestamp: at(0), level: "INFO" as const, message: "100 percent done", trace_id: TRACE },
  { timestamp: at(0.001), level: "WARN" as const, message: "file_name", environment: "prod" },
  { timestamp: at(1000), level: "ERROR" as const, message: "fileXname C:\\temp\\x", environment: "stage" },
  { timestamp: at(2000), level: "error" as never, message: "Boom: 'quoted' \"double\" $1 日本 😀" },
  { timestamp: at(3000), service_name: "cart", message: "boom\nsecond line\ttab" },
  { timestamp: at(4000), message: "", labels: { attempt: 3, "peer.service": "cart" } },
  { timestamp: at(5000), trace_id: undefined as never, span_id: undefined as never, http_status_code: 503 },
].map((fields) => logEvent(fields));

const recent = events.slice(2);

function at(ms: number): string {
  return formatTimestamp(BASE_US + ms * 1_000);
}

function expected(event: LogEvent) {
  return {
    ...expectedLog(event),
    level: event.level.toUpperCase(),
    trace_id: event.trace_id ?? null,
    span_id: event.span_id ?? null,
  };
}

for (const { engine, present } of testEngines()) {
  describe.skipIf(!present)(`GET /query/logs on ${engine}`, () => {
    let api: TestApi;
    beforeAll(async () => {
      api = await startTestApi(engine);
      await api.store(events);
    });
    afterAll(() => api?.close());

    const list = async (query: string) => {
      const { status, body } = await api.get(`/query/logs${query}`);
      expect({ status, body }).toMatchObject({ status: 200 });
      return logList.parse(body);
    };

    test("shows the logs of the last 15 minutes as they were sent, newest first", async () => {
      expect(await list("")).toEqual({
        total: recent.length,
        total_relation: "eq",
        page: 1,
        size: 50,
        items: recent.map(expected).toReversed(),
        next_cursor: null,
      });
    });

    const q = encodeURIComponent;
    const says = (text: string) => (event: LogEvent) => event.message.includes(text);
    test.each<[query: string, predicate: (event: LogEvent) => boolean]>([
      ["service_name=cart", (e) => e.service_name === "cart"],
      ["environment=staging", (e) => e.environment === "stage"],
      ["environment=prod", (e) => e.environment.startsWith("prod")],
      ["level=error", (e) => e.level.toUpperCase() === "ERROR"],
      ["level=DEBUG", (e) => e.level === "DEBUG"],
      ...LOG_LEVELS.map((level, rank): [string, (event: LogEvent) => boolean] => [
        `min_level=${level.toLowerCase()}`,
        (e) => LOG_LEVELS.indexOf(e.level.toUpperCase() as never) >= rank,
      ]),
      ["min_level=WARN&level=INFO", () => false],
      [`trace_id=${TRACE}`, (e) => e.trace_id === TRACE],
      [`span_id=${SPAN}`, (e) => e.span_id === SPAN],
      [`message=${q("100%")}`, says("100%")],
      ["message=file_name", says("file_name")],
      [`message=${q("C:\\temp\\")}`, says("C:\\temp\\")],
      [`message=${q("\\")}`, says("\\")],
      ["message=boom", says("boom")],
      ["message=BOOM", () => false],
      [`message=${q("boom\nsecond")}`, says("boom\nsecond")],
      [`message=${q(`'quoted' "double" $1 日本 😀`)}`, says("'quoted'")],
      // Longer windows are searched by pattern first: of a value, of what a pattern leaves out, of its own words.
      ...["quoted", "double", "second", "percent", "temp", "nowhere"].map(
        (word): [string, (event: LogEvent) => boolean] => [`from=now-1d&message=${word}`, says(word)],
      ),
      [`message=${q("%")}`, says("%")],
      ["message=_", says("_")],
      ["label.attempt=3", (e) => e.labels?.attempt === 3],
      ["label.peer.service=cart", (e) => e.labels?.["peer.service"] === "cart"],
      ["label.http_status_code=503", (e) => e.http_status_code === 503],
      [`from=${at(1000)}&to=${at(3000)}`, (e) => e.timestamp >= at(1000) && e.timestamp < at(3000)],
      [`from=${at(0.001)}`, (e) => e.timestamp >= at(0.001)],
    ])("%s selects exactly what it says", async (query, predicate) => {
      const answer = await list(`?${query}&sort=asc`);
      expect(answer.items).toEqual(recent.filter(predicate).map(expected));
      expect(answer.total).toBe(answer.items.length);
    });

    test("a window that was asked for is searched instead of the last 15 minutes", async () => {
      expect((await list("?from=now-20m&sort=asc")).items).toEqual(events.slice(1).map(expected));
      expect((await list("?from=now-1d&sort=asc")).total).toBe(events.length);
      const [first] = events.map(expected);
      expect((await list("?to=now-110m")).items).toEqual(first === undefined ? [] : [first]);
      expect((await list("?from=now-1w&to=now-1d")).items).toEqual([]);
    });

    test("equal times are ordered by arrival, either way", async () => {
      const ascending = (await list("?sort=asc")).items;
      expect(ascending).toEqual(recent.map(expected));
      expect((await list("?sort=desc")).items).toEqual(ascending.toReversed());
    });

    test("takes pages of up to 10,000", async () => {
      expect(await list("?size=10000")).toMatchObject({ size: 10_000, total: recent.length });
    });

    test("OpenTelemetry's 24 severities are four levels to the API, in answers and in filters", async () => {
      const service = uniqueName("severities");
      await api.store(
        Array.from({ length: 24 }, (_, index) =>
          logEvent({ service_name: service, message: `${index + 1}` }),
        ),
      );
      const superuser = openAsSuperuser(api.url);
      await superuser`UPDATE timespan.log_records SET severity_number = body::int, severity_text = 'Given'
                      WHERE service_name = ${service}`;
      const levelOf = (severity: number) =>
        severity < 9 ? "DEBUG" : severity < 13 ? "INFO" : severity < 17 ? "WARN" : "ERROR";
      const [{ wrong } = {}] = await superuser`
        SELECT count(*) FILTER (WHERE level NOT IN ('DEBUG', 'INFO', 'WARN', 'ERROR'))::int AS wrong
        FROM apm.logs WHERE service_name = ${service}`;
      expect(wrong).toBe(0);
      await closeDatabase(superuser);
      for (const level of LOG_LEVELS) {
        const { items } = await list(`?service_name=${service}&level=${level}`);
        expect(items.length).toBe({ DEBUG: 8, INFO: 4, WARN: 4, ERROR: 8 }[level]);
        for (const item of items) expect([item.level, levelOf(Number(item.message))]).toEqual([level, level]);
        const above = await list(`?service_name=${service}&min_level=${level}`);
        expect(above.items.length).toBe({ DEBUG: 24, INFO: 16, WARN: 12, ERROR: 8 }[level]);
      }
    });
  });
}
