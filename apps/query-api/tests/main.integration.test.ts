import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { closeDatabase, type Database } from "@timespan/store/database";
import { spanEvent } from "@timespan/testing/events";
import { eventually, type RunningApp, runApp } from "@timespan/testing/run-app";
import { openAsSuperuser } from "@timespan/testing/test-database";
import { testEngines } from "@timespan/testing/test-environment";
import { startTestApi, type TestApi } from "./test-api.ts";

for (const { engine, present } of testEngines()) {
  describe.skipIf(!present)(`the process on ${engine}`, () => {
    let api: TestApi;
    let superuser: Database;
    let running: RunningApp;
    const span = spanEvent();
    beforeAll(async () => {
      api = await startTestApi(engine);
      superuser = openAsSuperuser(api.url);
      await api.store([span]);
      running = await runApp("query-api", "PORT", { DATABASE_URL: api.url });
    });
    afterAll(async () => {
      running?.kill("SIGKILL");
      await closeDatabase(superuser);
      await api?.close();
    });

    test("answers over HTTP", async () => {
      const response = await fetch(`${running.url}/query/traces/${span.trace_id}`);
      expect(response.status).toBe(200);
      expect(((await response.json()) as { spans: unknown[] }).spans).toHaveLength(1);
    });

    test("reads with no more rights than it needs", async () => {
      await fetch(`${running.url}/query/spans`);
      const roles = await superuser`
        SELECT DISTINCT usename FROM pg_stat_activity WHERE application_name = 'timespan-query-api'`;
      expect(roles).toHaveLength(1);
      const written = await api.reader`DELETE FROM timespan.spans`.catch((error: Error) => error.message);
      expect(written).toContain("permission denied");
    });

    test("comes back by itself after its connections were cut", async () => {
      await superuser`
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'timespan-query-api'`;
      await eventually(async () => (await fetch(`${running.url}/query/spans`)).status === 200, {
        what: "the query-api to answer again",
      });
      expect((await fetch(`${running.url}/ready`)).status).toBe(200);
    });

    test("finishes the request under way when it is told to stop, and takes no new one", async () => {
      let slow: Promise<Response> | undefined;
      await superuser.begin(async (transaction) => {
        await transaction`LOCK TABLE timespan.spans IN ACCESS EXCLUSIVE MODE`;
        slow = fetch(`${running.url}/query/spans`);
        await eventually(
          async () =>
            (
              await superuser`SELECT FROM pg_stat_activity
                WHERE application_name = 'timespan-query-api' AND wait_event_type = 'Lock'`
            ).length > 0,
          { what: "the query to wait" },
        );
        running.kill("SIGTERM");
        await eventually(
          async () => (await fetch(`${running.url}/health`).catch(() => "refused")) === "refused",
          {
            what: "new connections to be refused",
          },
        );
      });
      expect((await slow)?.status).toBe(200);
      expect(await running.exited).toBe(0);
    });
  });
}
