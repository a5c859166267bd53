import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { systemClock } from "@timespan/runtime/clock";
import { createApiKey, type NewApiKey } from "@timespan/store/api-keys/create-api-key";
import { createKeyVerifier, KEY_REMEMBERED_MS } from "@timespan/store/api-keys/key-verifier";
import { revokeApiKey } from "@timespan/store/api-keys/revoke-api-key";
import { closeDatabase, type Database, openDatabase } from "@timespan/store/database";
import { problem } from "@timespan/telemetry/api/problem";
import { generateApiKey } from "@timespan/telemetry/api-key";
import { logEvent, randomHex, spanEvent } from "@timespan/testing/events";
import { openAsSuperuser } from "@timespan/testing/test-database";
import { testEngines } from "@timespan/testing/test-environment";
import { get, startTestApi, type TestApi, type TestApp, testApp } from "./test-api.ts";

const PATHS = [
  "/ready",
  "/metrics",
  "/query/spans",
  "/query/logs",
  `/query/traces/${randomHex(16)}`,
  "/nowhere",
];

for (const { engine, present } of testEngines()) {
  describe.skipIf(!present)(`API keys on ${engine}`, () => {
    let api: TestApi;
    let superuser: Database;
    let keysDatabase: Database;
    let app: TestApp;
    let skippedMs = 0;
    const clock = { ...systemClock, nowMs: () => systemClock.nowMs() + skippedMs };
    const traceId = randomHex(16);

    beforeAll(async () => {
      api = await startTestApi(engine);
      superuser = openAsSuperuser(api.url);
      keysDatabase = openDatabase({
        url: api.url,
        role: "timespan_reader",
        applicationName: "query-api tests of keys",
        poolMax: 2,
        statementTimeoutMs: 2_000,
      });
      app = appOf(undefined);
      for (const service_name of ["cart", "payment"]) {
        for (const environment of ["production", "staging"]) {
          await api.store([
            spanEvent({ service_name, environment, trace_id: traceId }),
            logEvent({ service_name, environment, trace_id: traceId }),
          ]);
        }
      }
    });
    afterAll(async () => {
      await Promise.all([closeDatabase(superuser), closeDatabase(keysDatabase)]);
      await api?.close();
    });

    const appOf = (requestsPerMinute: number | undefined) =>
      testApp(api.reader, {
        clock,
        keys: { verify: createKeyVerifier(keysDatabase, clock, () => {}), requestsPerMinute },
      });
    const make = async (overrides: Partial<NewApiKey> = {}) => {
      const created = await createApiKey(superuser, {
        name: crypto.randomUUID(),
        scopes: ["read"],
        access: { environments: null, services: null },
        expiresAt: null,
        ...overrides,
      });
      if (created === undefined) throw new Error("the name is taken");
      return created;
    };
    const ask = (path: string, authorization?: string, asked: TestApp = app) =>
      get(asked, path, authorization === undefined ? {} : { headers: { authorization } });

    test.each(PATHS)("%s asks for a key, and says how to send one", async (path) => {
      const { status, body, headers } = await ask(path);
      expect(status).toBe(401);
      expect(headers.get("www-authenticate")).toBe('Bearer realm="timespan"');
      expect(headers.get("x-trace-id")).not.toBeNull();
      expect(problem.parse(body)).toMatchObject({
        type: "urn:timespan:problem:unauthenticated",
        detail: expect.stringContaining("Authorization: Bearer"),
      });
    });

    test("/health asks for none", async () => {
      expect((await ask("/health")).status).toBe(200);
      expect((await ask("/health", "Bearer nonsense")).status).toBe(200);
    });

    test.each(["read", "admin"] as const)("a key for %s opens every path", async (scope) => {
      const { key } = await make({ scopes: [scope] });
      const statuses = await Promise.all(
        PATHS.map(async (path) => (await ask(path, `Bearer ${key}`)).status),
      );
      expect(statuses).toEqual([200, 200, 200, 200, 404, 404]);
    });

    test.each(PATHS)("a key for ingest alone is not for %s", async (path) => {
      const { key } = await make({ scopes: ["ingest"] });
      const { status, body, headers } = await ask(path, `Bearer ${key}`);
      expect(status).toBe(403);
      expect(headers.get("www-authenticate")).toContain('error="insufficient_scope", scope="read"');
      expect(problem.parse(body).title).toBe("Insufficient scope");
    });

    test("a method that is not possible, and a wrong parameter, need a key first", async () => {
      const { key } = await make();
      const authorization = `Bearer ${key}`;
      expect((await get(app, "/query/spans", { method: "POST" })).status).toBe(401);
      expect((await get(app, "/query/spans", { method: "POST", headers: { authorization } })).status).toBe(
        405,
      );
      expect((await ask("/query/spans?size=0")).status).toBe(401);
      expect((await ask("/query/spans?size=0", authorization)).status).toBe(400);
    });

    test("an expired, a revoked and an unknown key are told apart, by who has them", async () => {
      const expired = await make({ expiresAt: new Date(clock.nowMs() - 1_000) });
      const revoked = await make();
      const inUse = await make();
      await revokeApiKey(superuser, { id: revoked.id });
      expect((await ask("/query/spans", `Bearer ${inUse.key}`)).status).toBe(200);
      await revokeApiKey(superuser, { id: inUse.id });
      skippedMs += KEY_REMEMBERED_MS;
      for (const [key, reason] of [
        [expired.key, "this API key has expired"],
        [revoked.key, "this API key was revoked"],
        [inUse.key, "this API key was revoked"],
        [generateApiKey(), "this API key is not known"],
      ]) {
        const { status, headers } = await ask("/query/spans", `Bearer ${key}`);
        expect(status).toBe(401);
        expect(headers.get("www-authenticate")).toBe(
          `Bearer realm="timespan", error="invalid_token", error_description="${reason}"`,
        );
      }
    });

    test("hostile headers are refused, and nothing of them comes back", async () => {
      const { key } = await make();
      for (const authorization of [
        key,
        `Basic ${btoa(`${key}:`)}`,
        `Bearer ${key}, Bearer ${key}`,
        `Bearer ${key}x`,
        `Bearer ${key.toUpperCase()}`,
        `Bearer "${key}"`,
        `Bearer ${key}' OR '1'='1`,
        `Bearer tsp_${"%00".repeat(14)}a`,
        `Bearer tsp_${"../".repeat(14)}a`,
        `Bearer ${"x".repeat(10_000)}`,
        `Bearer${"\t".repeat(1_000)}${key}`,
        "Bearer",
        "Bearer ",
        "bearer undefined",
        'Bearer realm="x"',
        "Digest username=admin",
      ]) {
        const { status, text, headers } = await ask("/query/spans", authorization);
        expect({ authorization, status }).toEqual({ authorization, status: 401 });
        expect(text.length).toBeLessThan(300);
        expect(text).not.toContain(key);
        expect(headers.get("www-authenticate")).toStartWith('Bearer realm="timespan"');
      }
      expect((await ask("/query/spans", `bEARER   ${key}`)).status).toBe(200);
      expect((await ask(`/query/spans?access_token=${key}`)).status).toBe(401);
    });

    describe("what a key may see", () => {
      const seen = async (access: NewApiKey["access"]) => {
        const { key } = await make({ access });
        const of = async (path: string, list: "items" | "spans") => {
          const { body } = await ask(path, `Bearer ${key}`);
          return (body[list] ?? [])
            .map(({ service_name, environment }) => `${service_name} ${environment}`)
            .sort();
        };
        const spans = await of("/query/spans", "items");
        expect(await of("/query/logs", "items")).toEqual(spans);
        expect(await of(`/query/traces/${traceId}`, "spans")).toEqual(spans);
        return spans;
      };

      test("is everything, unless it says otherwise", async () => {
        expect(await seen({ environments: null, services: null })).toHaveLength(4);
      });
      test("is its environments", async () => {
        expect(await seen({ environments: ["staging"], services: null })).toEqual([
          "cart staging",
          "payment staging",
        ]);
      });
      test("is its services", async () => {
        expect(await seen({ environments: null, services: ["cart", "other"] })).toEqual([
          "cart production",
          "cart staging",
        ]);
      });
      test("is both at once, and nothing where that is nothing", async () => {
        expect(await seen({ environments: ["production"], services: ["payment"] })).toEqual([
          "payment production",
        ]);
        expect(await seen({ environments: ["test"], services: ["payment"] })).toEqual([]);
      });
      test("is not widened by asking for more", async () => {
        const { key } = await make({ access: { environments: ["staging"], services: null } });
        const { body } = await ask("/query/spans?environment=production", `Bearer ${key}`);
        expect(body.items).toEqual([]);
      });
    });

    test("a key that asks too often is told when to come back, and another key is not", async () => {
      const limited = appOf(3);
      const [one, other] = [await make(), await make()];
      const statuses: number[] = [];
      for (let n = 0; n < 5; n++)
        statuses.push((await ask("/query/spans", `Bearer ${one.key}`, limited)).status);
      expect(statuses).toEqual([200, 200, 200, 429, 429]);
      const refused = await ask("/nowhere", `Bearer ${one.key}`, limited);
      expect(problem.parse(refused.body).type).toBe("urn:timespan:problem:rate_limited");
      expect(Number(refused.headers.get("retry-after"))).toBeWithin(1, 21);
      expect(refused.headers.get("ratelimit-policy")).toBe('"key";q=3;w=60');
      expect(refused.headers.get("ratelimit")).toMatch(/^"key";r=0;t=\d+$/);
      expect((await ask("/health", undefined, limited)).status).toBe(200);
      const free = await ask("/query/spans", `Bearer ${other.key}`, limited);
      expect(free.status).toBe(200);
      expect(free.headers.get("ratelimit")).toBe('"key";r=2;t=20');
      // A third of a minute later one more is there.
      skippedMs += 20_000;
      expect((await ask("/query/spans", `Bearer ${one.key}`, limited)).status).toBe(200);
      expect((await ask("/query/spans", `Bearer ${one.key}`, limited)).status).toBe(429);
    });

    test("what was refused is counted", async () => {
      const { key } = await make();
      const { text } = await ask("/metrics", `Bearer ${key}`);
      for (const reason of ["missing", "malformed", "unknown", "expired", "revoked", "scope"]) {
        expect(text).toMatch(new RegExp(`query_api_refused_keys_total\\{reason="${reason}",.*\\} [1-9]`));
      }
      expect(text).toContain('http_route="/query/spans",http_response_status_code="401"');
    });
  });
}
