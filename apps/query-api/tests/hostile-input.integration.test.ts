import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { problem } from "@timespan/telemetry/api/problem";
import { logEvent, randomHex, spanEvent } from "@timespan/testing/events";
import { testEngines } from "@timespan/testing/test-environment";
import { logParameters } from "../src/routes/logs.ts";
import { spanParameters } from "../src/routes/spans.ts";
import { traceParameters } from "../src/routes/trace.ts";
import { startTestApi, type TestApi } from "./test-api.ts";

/** As they stand in a URL: some are no valid percent encoding. */
const HOSTILE = [
  ...[
    "'; DROP TABLE timespan.spans; --",
    "' OR '1'='1",
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
    "0x10",
    "1e999",
    "null",
    "undefined",
    "[object Object]",
    "true",
    "__proto__",
    "9".repeat(400),
    "x".repeat(4_000),
  ].map(encodeURIComponent),
  "%",
  "%zz",
  "%FF%FE",
  "%ED%A0%80",
  "%C0%80",
  "+",
  "",
];

for (const { engine, present } of testEngines()) {
  describe.skipIf(!present)(`hostile input on ${engine}`, () => {
    let api: TestApi;
    const span = spanEvent();
    beforeAll(async () => {
      api = await startTestApi(engine);
      await api.store([span, logEvent({ trace_id: span.trace_id })]);
    });
    afterAll(() => api?.close());

    const survives = async (path: string) => {
      const { status, body } = await api.get(path);
      expect({ path, status: [200, 400].includes(status) ? "fine" : status }).toEqual({
        path,
        status: "fine",
      });
      if (status === 400) problem.parse(body);
    };

    const routes: [path: string, names: string[]][] = [
      ["/query/spans", [...Object.keys(spanParameters.shape), "label.k", "unknown"]],
      ["/query/logs", [...Object.keys(logParameters.shape), "label.k", "unknown"]],
      [`/query/traces/${span.trace_id}`, [...Object.keys(traceParameters.shape), "unknown"]],
    ];
    for (const [path, names] of routes) {
      test.each(names)(`${path}?%s= gets an answer, or is told what is wrong`, async (name) => {
        for (const value of HOSTILE) await survives(`${path}?${name}=${value}`);
      });
    }

    test("in the names of parameters and labels is told what is wrong, or finds nothing", async () => {
      for (const value of HOSTILE) {
        await survives(`/query/spans?${value}=1`);
        await survives(`/query/logs?label.${value}=1`);
      }
    });

    test("in place of a trace id is told what is wrong", async () => {
      for (const value of HOSTILE.filter((value) => value !== "" && value.length < 3_000)) {
        expect((await api.get(`/query/traces/${value}`)).status).toBe(400);
      }
    });

    test("hurt nothing", async () => {
      expect((await api.get(`/query/traces/${span.trace_id}`)).body.spans).toHaveLength(1);
      expect((await api.get(`/query/traces/${randomHex(16)}`)).status).toBe(404);
    });
  });
}
