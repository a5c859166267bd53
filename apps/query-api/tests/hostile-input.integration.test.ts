import { afterAll, beforeAll, describe, expect, spyOn, test } from "bun:test";
import { createLogger } from "@timespan/runtime/logger";
import { problem } from "@timespan/telemetry/api/problem";
import { logEvent, randomHex, spanEvent } from "@timespan/testing/events";
import { testEngines } from "@timespan/testing/test-environment";
import { createRandom } from "@timespan/testing/workload/random";
import { openApiPath } from "../src/openapi.ts";
import { OPERATIONS } from "../src/operations.ts";
import { METRICS, startTestApi, type TestApi } from "./test-api.ts";

const REQUESTS = 2_500;

/** As they stand in a URL: some are no valid percent encoding. */
const HOSTILE = [
  ...[
    "'; DROP TABLE timespan.spans; --",
    "' OR '1'='1",
    "' UNION SELECT key_hash FROM timespan.api_keys --",
    "1); SELECT pg_sleep(10); --",
    "$1",
    "#{jndi:ldap://x}",
    "{{7*7}}",
    "\\",
    "%",
    "_%\\",
    "<script>alert(1)</script>",
    "\n\r\t",
    "\u0000",
    "a\u0000b",
    "\u202e\u200b\ufeff",
    "😀".repeat(100),
    "é".normalize("NFD"),
    "NaN",
    "Infinity",
    "-0",
    "-1",
    "0",
    "0x10",
    "1e999",
    "999999999d",
    "1d",
    "1s",
    "null",
    "undefined",
    "[object Object]",
    "true",
    "__proto__",
    "../../etc/passwd",
    "9".repeat(400),
    "x".repeat(4_000),
    "now-999999999w",
    "now+1h",
    "now",
    "now-1m",
    "1970-01-01T00:00:00Z",
    "2016-01-01T00:00:00Z",
    "2199-12-31T23:59:59.999999Z",
    "9999-99-99T99:99:99Z",
    "-62135596800000",
    "1795273200000",
  ].map(encodeURIComponent),
  "%",
  "%zz",
  "%FF%FE",
  "%ED%A0%80",
  "%C0%80",
  "+",
  "",
  "a&a=b",
  "?",
  "#",
];

for (const { engine, present } of testEngines()) {
  describe.skipIf(!present)(`hostile input on ${engine}`, () => {
    let api: TestApi;
    const span = spanEvent();
    const events = [
      span,
      logEvent({ trace_id: span.trace_id }),
      ...Array.from({ length: 9 }, () => spanEvent()),
    ];
    const logger = createLogger("query-api tests", "silent");
    const failures = (["warn", "error", "fatal"] as const).map((level) => spyOn(logger, level));
    beforeAll(async () => {
      // Any interval and window that is accepted is read in all ways there are.
      api = await startTestApi(engine, {
        logger,
        metrics: { ...METRICS, rollups: { enabled: true, thresholdMs: 0 } },
      });
      await api.store(events);
    });
    afterAll(() => api?.close());

    const survives = async (path: string) => {
      const { status, text, headers } = await api.get(path);
      const shown = path.length > 500 ? `${path.slice(0, 500)}…` : path;
      if (![200, 400, 404, 414].includes(status))
        expect({ path: shown, status }).toEqual({ path: shown, status: 400 });
      if (status === 200) return;
      expect(headers.get("content-type")).toBe("application/problem+json");
      const { detail, errors } = problem.parse(JSON.parse(text));
      if (status === 400) expect(errors?.length).toBeGreaterThan(0);
      // What was sent is not what was found in us.
      const reasons = [detail, ...(errors ?? []).map(({ reason }) => reason)].join(" ");
      expect(reasons).not.toMatch(/postgres|syntax error|column|relation |at \/|node_modules/i);
    };

    const template = (path: string, replace: (name: string) => string) =>
      openApiPath(path).replace(/\{(\w+)\}/g, (_, name) => replace(name));
    const known = (name: string) =>
      ({ traceId: span.trace_id, serviceName: "checkout", endpointName: "POST%20%2Forders" })[name] ?? "";

    for (const { path, parameters, pathParameters = {} } of OPERATIONS) {
      test(`${path}: every parameter survives every value`, async () => {
        const names = [...Object.keys(parameters.shape), "label.k", "unknown", "from", "__proto__"];
        for (const name of names) {
          for (const value of HOSTILE) await survives(`${template(path, known)}?${name}=${value}`);
        }
        for (const value of HOSTILE) await survives(`${template(path, known)}?${value}=1&label.${value}=1`);
      });

      if (Object.keys(pathParameters).length === 0) continue;
      test(`${path}: every part of the path survives every value`, async () => {
        for (const hostile of Object.keys(pathParameters)) {
          for (const value of HOSTILE) {
            await survives(template(path, (name) => (name === hostile ? value : known(name))));
          }
        }
      });
    }

    test(`${REQUESTS} requests made of all of it at once`, async () => {
      const random = createRandom(2026, 11);
      const pick = <T>(values: readonly T[]): T => values[Math.floor(random.next() * values.length)] as T;
      const noise = () =>
        Array.from({ length: Math.floor(random.next() * 40) }, () =>
          encodeURIComponent(String.fromCharCode(Math.floor(random.next() * 0xd7ff))),
        ).join("");
      for (let n = 0; n < REQUESTS; n++) {
        const { path, parameters } = pick(OPERATIONS);
        const value = () => (random.next() < 0.8 ? pick(HOSTILE) : noise());
        const names = [...Object.keys(parameters.shape), "label.k", "label.", noise()];
        const search = Array.from(
          { length: 1 + Math.floor(random.next() * 8) },
          () => `${pick(names)}=${value()}`,
        );
        const at = template(path, (name) => (random.next() < 0.8 ? known(name) : value()));
        await survives(`${at}?${search.join("&")}`);
      }
    });

    test("windows that are reversed, empty, of ten years, or in no time at all are 400 on every route that has one", async () => {
      for (const { path, parameters } of OPERATIONS.filter(({ parameters }) => "from" in parameters.shape)) {
        expect("to" in parameters.shape).toBe(true);
        for (const query of [
          "from=now&to=now-1h",
          "from=now&to=now",
          "from=now-3650d",
          "from=2016-01-01T00:00:00Z&to=2026-01-01T00:00:00Z",
          "from=2026-02-30T00:00:00Z",
          "from=1e12",
        ]) {
          const { status, text } = await api.get(`${template(path, known)}?${query}`);
          expect({ path, query, status }).toEqual({ path, query, status: 400 });
          expect(problem.parse(JSON.parse(text)).errors?.map(({ name }) => name)).toContain("from");
        }
      }
    });

    test("a URL of ten megabytes is refused by its length alone", async () => {
      for (const { path } of OPERATIONS) {
        const { status } = await api.get(`${template(path, known)}?name=${"x".repeat(10_000_000)}`);
        expect(status).toBe(414);
      }
    });

    test("cursors that are mutated, cut, swapped or of another version give rows of the query or a clean 400", async () => {
      const random = createRandom(7, 7);
      const lists = [
        "/query/spans?",
        "/query/logs?",
        "/query/services/checkout/traces?",
        "/query/services/cart/traces?",
      ];
      const { next_cursor } = (await api.get("/query/spans?size=3")).body;
      const ofTraces = (await api.get("/query/services/checkout/traces?size=3")).body.next_cursor;
      const cursors = [next_cursor ?? "", ofTraces ?? ""];
      expect(cursors.map((cursor) => cursor.length > 50)).toEqual([true, true]);
      for (const cursor of cursors) {
        const fields: unknown[] = JSON.parse(Buffer.from(cursor, "base64url").toString());
        const pack = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
        const forged = [
          pack([2, ...fields.slice(1)]),
          pack(fields.slice(1)),
          pack([...fields, 1]),
          pack({}),
          pack(null),
          pack("x".repeat(300)),
          cursor.slice(0, -1),
          `${cursor}${cursor}`,
          cursor.toUpperCase(),
          ...Array.from({ length: 60 }, () => {
            const at = Math.floor(random.next() * cursor.length);
            return `${cursor.slice(0, at)}${"Az09-_"[Math.floor(random.next() * 6)]}${cursor.slice(at + 1)}`;
          }),
        ];
        for (const list of lists) {
          for (const value of forged) await survives(`${list}cursor=${value}`);
        }
      }
      for (const list of lists.filter((list) => !list.includes("spans?"))) {
        expect((await api.get(`${list}cursor=${next_cursor}`)).status).toBe(400);
      }
      expect((await api.get(`/query/services/cart/traces?cursor=${ofTraces}`)).status).toBe(400);
      expect((await api.get(`/query/services/checkout/traces?cursor=${ofTraces}`)).status).toBe(200);
    });

    test("hurt nothing, and none of it was logged as a failure of ours", async () => {
      expect((await api.get(`/query/traces/${span.trace_id}`)).body.spans).toHaveLength(1);
      expect((await api.get(`/query/traces/${randomHex(16)}`)).status).toBe(404);
      expect((await api.get("/query/spans")).body.items).toHaveLength(events.length - 1);
      for (const failure of failures) expect(failure.mock.calls).toEqual([]);
    });
  });
}
