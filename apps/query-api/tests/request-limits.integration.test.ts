import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createLogger } from "@timespan/runtime/logger";
import { closeDatabase, type Database } from "@timespan/store/database";
import { problem } from "@timespan/telemetry/api/problem";
import { randomHex, spanEvent } from "@timespan/testing/events";
import { eventually } from "@timespan/testing/run-app";
import { openAsSuperuser } from "@timespan/testing/test-database";
import { testEngines } from "@timespan/testing/test-environment";
import { deadlineMs } from "../src/request-limits.ts";
import { startTestApi, type TestApi, testApp } from "./test-api.ts";

test("each kind of question has its time: a trace the least, lists the most", () => {
  expect(deadlineMs("/query/traces/abc", 15_000)).toBe(5_000);
  for (const path of ["/query/services", "/query/services/a/metrics", "/query/services/a/endpoints"]) {
    expect(deadlineMs(path, 15_000)).toBe(10_000);
  }
  for (const path of ["/query/spans", "/query/logs", "/query/services/a/traces"]) {
    expect(deadlineMs(path, 15_000)).toBe(20_000);
  }
});

for (const { engine, present } of testEngines()) {
  describe.skipIf(!present)(`a slow query on ${engine}`, () => {
    let api: TestApi;
    let superuser: Database;
    beforeAll(async () => {
      api = await startTestApi(engine);
      superuser = openAsSuperuser(api.url);
      await api.store([spanEvent()]);
    });
    afterAll(async () => {
      await closeDatabase(superuser);
      await api?.close();
    });

    /** Runs `work` while every query of spans or traces waits for a lock, over HTTP. */
    async function whileSlow(
      queryTimeoutMs: number,
      work: (url: string, lines: Record<string, unknown>[]) => Promise<void>,
    ): Promise<void> {
      const logger = createLogger("query-api tests", "silent");
      const lines: Record<string, unknown>[] = [];
      for (const level of ["debug", "info", "warn", "error"] as const) {
        logger[level] = (line: unknown) => void lines.push({ level, ...(line as object) });
      }
      const app = testApp(api.reader, { queryTimeoutMs, logger });
      const server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: app.fetch });
      try {
        await superuser.begin(async (transaction) => {
          await transaction`LOCK TABLE timespan.spans, timespan.trace_locator IN ACCESS EXCLUSIVE MODE`;
          await work(server.url.href, lines);
        });
      } finally {
        await server.stop(true);
      }
    }
    const underWay = async () =>
      (
        await superuser`
          SELECT FROM pg_stat_activity
          WHERE application_name = 'query-api tests' AND datname = current_database() AND state = 'active'`
      ).length;
    const waitFor = (count: number) =>
      eventually(async () => (await underWay()) === count, { what: `${count} queries under way` });

    test("ends in the database when its client goes away, and is not logged as a failure", async () => {
      await whileSlow(60_000, async (url, lines) => {
        const gone = new AbortController();
        const asked = fetch(`${url}query/spans`, { signal: gone.signal }).catch((err: Error) => err.name);
        await waitFor(1);
        gone.abort();
        expect(await asked).toBe("AbortError");
        await waitFor(0);
        await eventually(() => lines.length > 0, { what: "a line" });
        expect(lines).toMatchObject([{ level: "info", status: 499, route: "/query/spans", err: undefined }]);
        const metrics = await (await fetch(`${url}metrics`)).text();
        expect(metrics).toContain('http_route="/query/spans",http_response_status_code="499"');
      });
    });

    test("of one client ends, and that of another is answered", async () => {
      const logger = createLogger("query-api tests", "silent");
      const server = Bun.serve({
        port: 0,
        hostname: "127.0.0.1",
        fetch: testApp(api.reader, { logger }).fetch,
      });
      let other: Promise<Response> | undefined;
      await superuser.begin(async (transaction) => {
        await transaction`LOCK TABLE timespan.spans IN ACCESS EXCLUSIVE MODE`;
        const gone = new AbortController();
        const asked = fetch(`${server.url}query/spans`, { signal: gone.signal }).catch(() => {});
        other = fetch(`${server.url}query/spans`);
        await waitFor(2);
        gone.abort();
        await asked;
        await waitFor(1);
      });
      expect((await other)?.status).toBe(200);
      await server.stop(true);
    });

    test.each([`/query/traces/${randomHex(16)}`, "/query/spans"])(
      "of %s is over when its time is: 503 with a hint, and nothing left in the database",
      async (path) => {
        await whileSlow(300, async (url, lines) => {
          const response = await fetch(url + path.slice(1));
          expect(response.status).toBe(503);
          expect(problem.parse(await response.json())).toMatchObject({
            type: "urn:timespan:problem:query_timeout",
            detail: expect.stringContaining("Narrow it"),
          });
          await waitFor(0);
          expect(lines.at(-1)).toMatchObject({ level: "warn", status: 503 });
        });
      },
    );
  });
}
