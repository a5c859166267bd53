import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { openRedisStore, type RedisStore } from "@timespan/cache/redis-store";
import { systemClock } from "@timespan/runtime/clock";
import { createLogger } from "@timespan/runtime/logger";
import { createApiKey } from "@timespan/store/api-keys/create-api-key";
import { createKeyVerifier } from "@timespan/store/api-keys/key-verifier";
import { closeDatabase, type Database } from "@timespan/store/database";
import { spanEvent, uniqueName } from "@timespan/testing/events";
import { eventually } from "@timespan/testing/run-app";
import { openAsSuperuser } from "@timespan/testing/test-database";
import { testEngines, testEnvironment } from "@timespan/testing/test-environment";
import type { AppOptions } from "../src/app.ts";
import { get, minutesAgo, startTestApi, type TestApi, testApp } from "./test-api.ts";

const { redis: address } = testEnvironment();

for (const { engine, present } of testEngines()) {
  describe.skipIf(!present || address === undefined)(`the cache of metrics on ${engine}`, () => {
    let api: TestApi;
    let superuser: Database;
    let redis: RedisStore;
    const service = uniqueName("cached");
    beforeAll(async () => {
      api = await startTestApi(engine);
      superuser = openAsSuperuser(api.url);
      redis = openRedisStore(
        {
          host: address?.host ?? "",
          port: address?.port ?? 0,
          username: undefined,
          password: undefined,
          tls: undefined,
        },
        createLogger("query-api tests", "silent"),
      );
      await eventually(async () => (await redis.get("nothing")) === null, { what: "Redis" });
      await api.store([
        spanEvent({ service_name: service, environment: "production", timestamp: at(10), kind: "SERVER" }),
        spanEvent({ service_name: service, environment: "staging", timestamp: at(10), kind: "SERVER" }),
      ]);
    });
    afterAll(async () => {
      redis?.close();
      await closeDatabase(superuser);
      await api?.close();
    });

    const at = (minutes: number) => new Date(minutesAgo(minutes)).toISOString();
    /** An app whose answers no other test has asked for. */
    const newApp = (overrides: Partial<AppOptions> = {}) => {
      const prefix = uniqueName("test");
      const kept = { prefix, ttlMs: 60_000 };
      return testApp(api.reader, {
        redis,
        metrics: {
          quantizationMs: 10_000,
          defaultWindowMs: 15 * 60_000,
          rollups: { enabled: true, thresholdMs: 5 * 60_000 },
          kept: { rollups: kept, others: kept },
        },
        ...overrides,
      });
    };
    const window = `from=${minutesAgo(30)}&to=${minutesAgo(1)}`;
    const paths = [
      `/query/services?${window}`,
      `/query/services/${service}/metrics?${window}`,
      `/query/services/${service}/endpoints?${window}`,
      `/query/services/${service}/endpoints/x/traces?${window}`,
    ];
    const outcomesOf = async (app: ReturnType<typeof newApp>) =>
      Object.fromEntries(
        [
          ...(await get(app, "/metrics")).text.matchAll(
            /^query_api_cache_answers_total\{outcome="(\w+)".*\} (\d+)$/gm,
          ),
        ].map(([, outcome, count]) => [outcome, Number(count)]),
      );

    test.each(paths)("%s is computed once, and the same when it comes from the cache", async (path) => {
      const app = newApp();
      const first = await get(app, path);
      const second = await get(app, path);
      expect(first.status).toBe(200);
      expect(second.text).toBe(first.text);
      expect(second.headers.get("content-type")).toBe("application/json");
      expect(await outcomesOf(app)).toEqual({ miss: 1, hit: 1 });
      // What is in the cache is what there would be without.
      const without = await get(testApp(api.reader), path);
      expect({ ...without.body, complete_through: null }).toEqual({ ...first.body, complete_through: null });
    });

    test("many panels that ask the same at once are one query", async () => {
      const app = newApp();
      const answers = await Promise.all(Array.from({ length: 30 }, () => get(app, paths[0] ?? "")));
      expect(new Set(answers.map(({ text }) => text)).size).toBe(1);
      expect((await outcomesOf(app)).miss).toBe(1);
    });

    test("a browser that asks again is told that nothing changed", async () => {
      const app = newApp();
      const [path = ""] = paths;
      const first = await get(app, path);
      const etag = first.headers.get("etag") ?? "";
      expect(etag).toMatch(/^"[\w-]{22}"$/);
      expect(first.headers.get("cache-control")).toMatch(/^private, max-age=([1-9]|10)$/);
      expect(first.headers.get("vary")).toContain("Authorization");
      for (const header of [etag, `W/${etag}`, `"other", ${etag}`, "*"]) {
        const again = await get(app, path, { headers: { "if-none-match": header } });
        expect({ header, status: again.status, text: again.text }).toEqual({ header, status: 304, text: "" });
        expect(again.headers.get("etag")).toBe(etag);
        expect(again.headers.get("x-trace-id")).not.toBeNull();
      }
      expect((await get(app, path, { headers: { "if-none-match": '"other"' } })).status).toBe(200);
    });

    test("a problem is never kept, neither here nor by the client", async () => {
      const app = newApp();
      for (const path of ["/query/services?limit=0", "/query/services?from=now&to=now-1h"]) {
        const { status, headers } = await get(app, path);
        expect(status).toBe(400);
        expect(headers.get("cache-control")).toBe("no-store");
        expect(headers.get("etag")).toBeNull();
      }
      expect(await outcomesOf(app)).toEqual({});
    });

    test("who may see less gets an answer of their own, whoever asked first", async () => {
      const app = newApp({
        keys: { verify: createKeyVerifier(superuser, systemClock, () => {}), requestsPerMinute: undefined },
      });
      const ask = async (environments: string[] | null) => {
        const created = await createApiKey(superuser, {
          name: crypto.randomUUID(),
          scopes: ["read"],
          access: { environments, services: null },
          expiresAt: null,
        });
        const headers = { authorization: `Bearer ${created?.key}` };
        const { body } = await get(app, `/query/services?${window}`, { headers });
        const { services } = body as unknown as { services: { request_count: number }[] };
        return services.map(({ request_count }) => request_count);
      };
      expect(await ask(null)).toEqual([2]);
      expect(await ask(["staging"])).toEqual([1]);
      expect(await ask(["test"])).toEqual([]);
      expect(await ask(["staging", "production"])).toEqual([2]);
      expect(await ask(["production", "staging"])).toEqual([2]);
      expect(await ask(null)).toEqual([2]);
    });

    test("a client that goes away does not end the query of another who shares it", async () => {
      const app = newApp({ queryTimeoutMs: 60_000 });
      const gone = new AbortController();
      const [path = ""] = paths;
      let other: ReturnType<typeof get> | undefined;
      await superuser.begin(async (transaction) => {
        await transaction`LOCK TABLE timespan.spans IN ACCESS EXCLUSIVE MODE`;
        const one = get(app, path, { signal: gone.signal });
        await eventually(
          async () =>
            (
              await superuser`
                SELECT FROM pg_stat_activity
                WHERE application_name = 'query-api tests' AND datname = current_database()
                  AND wait_event_type = 'Lock'`
            ).length > 0,
          { what: "the query to wait" },
        );
        other = get(app, path);
        await systemClock.sleep(100);
        gone.abort();
        expect((await one).status).toBe(499);
      });
      expect((await other)?.status).toBe(200);
    });
  });
}
