import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createApiKey } from "@timespan/store/api-keys/create-api-key";
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
      const written = (work: Promise<unknown>) => work.catch((error: Error) => error.message);
      expect(await written(api.reader`DELETE FROM timespan.spans`)).toContain("read-only transaction");
      expect(
        await written(api.reader.begin("read write", (sql) => sql`DELETE FROM timespan.spans`)),
      ).toContain("permission denied");
    });

    test("asks for a key where others can connect, and notes when it was used", async () => {
      const created = await createApiKey(superuser, {
        name: "of a test",
        scopes: ["read"],
        access: { environments: null, services: null },
        expiresAt: null,
      });
      const open = await runApp(
        "query-api",
        "PORT",
        { DATABASE_URL: api.url, HOST: "0.0.0.0" },
        { awaitReady: false },
      );
      try {
        await eventually(
          async () => (await fetch(`${open.url}/health`).catch(() => undefined))?.status === 200,
          { what: "the query-api to live" },
        );
        expect((await fetch(`${open.url}/ready`)).status).toBe(401);
        const headers = { authorization: `Bearer ${created?.key}` };
        expect((await fetch(`${open.url}/query/spans`, { headers })).status).toBe(200);
        await eventually(
          async () =>
            (await superuser`SELECT FROM timespan.api_keys WHERE last_used_at IS NOT NULL`).length === 1,
          { what: "the use to be written down" },
        );
        expect(open.output()).not.toContain(created?.key);
      } finally {
        await open.stop();
      }
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
