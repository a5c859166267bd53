import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { spanList } from "@timespan/telemetry/api/list-answer";
import { formatTimestamp } from "@timespan/telemetry/timestamp";
import { randomHex, spanEvent } from "@timespan/testing/events";
import { testEngines } from "@timespan/testing/test-environment";
import type { SpanEvent } from "@timespan/testing/workload/events";
import { expectedSpan } from "./expected-items.ts";
import { minutesAgo, startTestApi, type TestApi } from "./test-api.ts";

const BASE_US = minutesAgo(10) * 1_000;
const TRACE = randomHex(16);
const PARENT = "ffeeddccbbaa9988";
const HOSTILE = `'; DROP TABLE timespan.spans; -- \\ % _ " $1 日本 😀`;

/** Every field takes several values, and starts and durations collide. */
const events: SpanEvent[] = [
  { timestamp: at(0), trace_id: TRACE, span_id: PARENT, duration_ms: 250, labels: { region: "eu", tier: 1 } },
  {
    timestamp: at(0.25),
    trace_id: TRACE,
    parent_span_id: PARENT,
    kind: "CLIENT" as const,
    duration_ms: 0.001,
  },
  {
    timestamp: at(1000),
    service_name: "cart",
    status: "ERROR" as const,
    duration_ms: 250,
    name: "GET /cart",
  },
  {
    timestamp: at(1000),
    service_name: "cart",
    environment: "stage",
    duration_ms: 250,
    kind: "INTERNAL" as const,
  },
  {
    timestamp: at(1000),
    service_name: "cart",
    environment: "staging",
    duration_ms: 1_000.5,
    status: "UNSET" as const,
  },
  {
    timestamp: at(2000),
    environment: "dev",
    kind: "PRODUCER" as const,
    duration_ms: 0,
    labels: { ok: true as never },
  },
  {
    timestamp: at(3000),
    kind: "CONSUMER" as const,
    duration_ms: 4_321.987,
    parent_span_id: "0000000000000001",
  },
  {
    timestamp: at(4000),
    service_name: HOSTILE,
    environment: HOSTILE,
    name: HOSTILE,
    labels: { [HOSTILE]: HOSTILE },
  },
  {
    timestamp: at(5000),
    http_method: undefined as never,
    http_path: undefined as never,
    http_status_code: undefined as never,
    labels: undefined as never,
  },
].map((fields) => spanEvent(fields));

function at(ms: number): string {
  return formatTimestamp(BASE_US + ms * 1_000);
}

const matching = (predicate: (event: SpanEvent) => boolean) => events.filter(predicate).map(expectedSpan);

for (const { engine, present } of testEngines()) {
  describe.skipIf(!present)(`GET /query/spans on ${engine}`, () => {
    let api: TestApi;
    beforeAll(async () => {
      api = await startTestApi(engine);
      await api.store(events);
    });
    afterAll(() => api?.close());

    const list = async (query: string) => {
      const { status, body } = await api.get(`/query/spans${query}`);
      expect({ status, body }).toMatchObject({ status: 200 });
      return spanList.parse(body);
    };

    test("shows every span as it was sent, newest first, and the page it is", async () => {
      const answer = await list("");
      expect(answer).toEqual({
        total: events.length,
        total_relation: "eq",
        page: 1,
        size: 50,
        items: events.map(expectedSpan).toReversed(),
        next_cursor: null,
      });
    });

    const q = encodeURIComponent;
    test.each<[query: string, predicate: (event: SpanEvent) => boolean]>([
      ["service_name=cart", (e) => e.service_name === "cart"],
      ["service_name=Cart", () => false],
      [`service_name=${q(HOSTILE)}`, (e) => e.service_name === HOSTILE],
      ["environment=staging", (e) => e.environment.startsWith("stag")],
      ["environment=stage", (e) => e.environment.startsWith("stag")],
      ["environment=PROD", (e) => e.environment === "production"],
      ["environment=development", (e) => e.environment === "dev"],
      [`environment=${q(HOSTILE)}`, (e) => e.environment === HOSTILE],
      [`name=${q("GET /cart")}`, (e) => e.name === "GET /cart"],
      ["name=GET+/cart", (e) => e.name === "GET /cart"],
      [`name=${q(HOSTILE)}`, (e) => e.name === HOSTILE],
      ["name=GET", () => false],
      ["kind=CLIENT", (e) => e.kind === "CLIENT"],
      ["kind=client", (e) => e.kind === "CLIENT"],
      ["kind=INTERNAL", (e) => e.kind === "INTERNAL"],
      ["kind=PRODUCER", (e) => e.kind === "PRODUCER"],
      ["kind=CONSUMER", (e) => e.kind === "CONSUMER"],
      ["status=ERROR", (e) => e.status === "ERROR"],
      ["status=Unset", (e) => e.status === "UNSET"],
      ["min_duration_ms=250", (e) => e.duration_ms >= 250],
      ["min_duration_ms=250.001", (e) => e.duration_ms >= 250.001],
      ["max_duration_ms=250", (e) => e.duration_ms <= 250],
      ["max_duration_ms=249.9999", (e) => e.duration_ms < 250],
      ["max_duration_ms=0.001", (e) => e.duration_ms <= 0.001],
      ["min_duration_ms=4321.987&max_duration_ms=4321.987", (e) => e.duration_ms === 4_321.987],
      [`trace_id=${TRACE}`, (e) => e.trace_id === TRACE],
      [`trace_id=${TRACE.toUpperCase()}`, (e) => e.trace_id === TRACE],
      [`trace_id=${TRACE.slice(0, 8)}-${TRACE.slice(8, 12)}-${TRACE.slice(12)}`, (e) => e.trace_id === TRACE],
      [`trace_id=${randomHex(16)}`, () => false],
      [`parent_span_id=${PARENT}`, (e) => e.parent_span_id === PARENT],
      ["parent_span_id=0000000000000001", (e) => e.parent_span_id === "0000000000000001"],
      ["label.region=eu", (e) => e.labels?.region === "eu"],
      ["label.region=EU", () => false],
      ["label.tier=1&label.region=eu", (e) => e.labels?.tier === 1],
      ["label.ok=true", (e) => "ok" in (e.labels ?? {})],
      [`label.${q(HOSTILE)}=${q(HOSTILE)}`, (e) => HOSTILE in (e.labels ?? {})],
      ["label.region=", () => false],
      [`from=${at(1000)}`, (e) => e.timestamp >= at(1000)],
      [`from=${q(at(1000).replace("Z", "+00:00"))}`, (e) => e.timestamp >= at(1000)],
      [`from=${at(1000).replace("Z", "+00:00")}`, (e) => e.timestamp >= at(1000)],
      [`to=${at(1000)}`, (e) => e.timestamp < at(1000)],
      [`from=${BASE_US / 1_000}&to=${BASE_US / 1_000 + 1}`, (e) => e.timestamp < at(1)],
      [`from=${at(0.25)}&to=${at(0.251)}`, (e) => e.timestamp === at(0.25)],
      ["from=now-1h&to=now", () => true],
      ["from=now-1m", () => false],
      [
        `service_name=cart&environment=staging&kind=SERVER&status=UNSET&min_duration_ms=1000&max_duration_ms=1001&name=${q("POST /orders")}&from=${at(0)}&to=${at(9000)}&label.region=eu`,
        (e) => e.status === "UNSET",
      ],
    ])("%s selects exactly what it says", async (query, predicate) => {
      const answer = await list(`?${query}&sort=start_time_asc`);
      expect(answer.items).toEqual(matching(predicate));
      expect(answer.total).toBe(answer.items.length);
    });

    test.each([
      ["start_time_desc", (a: SpanEvent, b: SpanEvent) => compare(b.timestamp, a.timestamp), -1],
      ["start_time_asc", (a: SpanEvent, b: SpanEvent) => compare(a.timestamp, b.timestamp), 1],
      [
        "duration_desc",
        (a: SpanEvent, b: SpanEvent) => b.duration_ms - a.duration_ms || compare(b.timestamp, a.timestamp),
        -1,
      ],
      [
        "duration_asc",
        (a: SpanEvent, b: SpanEvent) => a.duration_ms - b.duration_ms || compare(a.timestamp, b.timestamp),
        1,
      ],
    ] as const)("sort=%s orders ties too, by arrival", async (sort, order, arrival) => {
      const arrived = new Map(events.map((event, index) => [event, index]));
      const expected = events.toSorted(
        (a, b) => order(a, b) || arrival * ((arrived.get(a) ?? 0) - (arrived.get(b) ?? 0)),
      );
      expect((await list(`?sort=${sort}`)).items).toEqual(expected.map(expectedSpan));
    });

    test("pages by number are the whole list cut up, with the same total on each", async () => {
      const whole = (await list("?sort=duration_desc")).items;
      for (let page = 1; page <= 4; page++) {
        const answer = await list(`?sort=duration_desc&size=3&page=${page}`);
        expect(answer).toMatchObject({ total: events.length, total_relation: "eq", page, size: 3 });
        expect(answer.items).toEqual(whole.slice((page - 1) * 3, page * 3));
        expect(answer.next_cursor === null).toBe(page >= 3);
      }
    });
  });
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
