import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { systemClock } from "@timespan/runtime/clock";
import { generateApiKey } from "@timespan/telemetry/api-key";
import { eventually } from "@timespan/testing/run-app";
import { createTestDatabase, openAsSuperuser, type TestDatabase } from "@timespan/testing/test-database";
import { testEngines } from "@timespan/testing/test-environment";
import { createApiKey, type NewApiKey } from "../src/api-keys/create-api-key.ts";
import { createKeyVerifier, KEY_REMEMBERED_MS } from "../src/api-keys/key-verifier.ts";
import { listApiKeys } from "../src/api-keys/list-api-keys.ts";
import { revokeApiKey } from "../src/api-keys/revoke-api-key.ts";
import { closeDatabase, type Database, openDatabase } from "../src/database.ts";

for (const { engine, present } of testEngines()) {
  describe.skipIf(!present)(`API keys on ${engine}`, () => {
    let created: TestDatabase;
    let all: Database;
    let reader: Database;
    beforeAll(async () => {
      created = await createTestDatabase(engine);
      all = openAsSuperuser(created.url);
      reader = openDatabase({
        url: created.url,
        role: "timespan_reader",
        applicationName: "test",
        poolMax: 2,
        statementTimeoutMs: 10_000,
      });
    });
    afterAll(async () => {
      await Promise.all([closeDatabase(all), closeDatabase(reader)]);
      await created.drop();
    });

    const make = async (overrides: Partial<NewApiKey> = {}) => {
      const made = await createApiKey(all, {
        name: crypto.randomUUID(),
        scopes: ["read"],
        access: { environments: null, services: null },
        expiresAt: null,
        ...overrides,
      });
      if (made === undefined) throw new Error("the name is taken");
      return made;
    };
    /** A verifier whose time stands still until it is moved. */
    const verifier = () => {
      let nowMs = systemClock.nowMs();
      const failures: unknown[] = [];
      const verify = createKeyVerifier(reader, { ...systemClock, nowMs: () => nowMs }, (err) =>
        failures.push(err),
      );
      return {
        verify,
        failures,
        wait(ms: number) {
          nowMs += ms;
        },
      };
    };

    test("a key is who it was made for, and no table holds it", async () => {
      const access = { environments: ["production"], services: ["cart", "payment"] };
      const { id, key } = await make({ name: "dashboard", scopes: ["read", "ingest"], access });
      expect(await verifier().verify(key)).toEqual({
        ok: true,
        key: { id, name: "dashboard", scopes: ["read", "ingest"], access },
      });
      const [row] = await all<{ text: string }[]>`
        SELECT k::text AS text FROM timespan.api_keys AS k WHERE api_key_id = ${id}`;
      expect(row?.text).not.toContain(key.slice(12));
      expect(row?.text).not.toContain(Buffer.from(key).toString("hex"));
    });

    test("a name is one key; a revoked key gives it free", async () => {
      const { id } = await make({ name: "twice" });
      await expect(make({ name: "twice" })).rejects.toThrow("taken");
      expect(await revokeApiKey(all, { name: "twice" })).toEqual({ id, name: "twice" });
      expect(await revokeApiKey(all, { name: "twice" })).toBeUndefined();
      expect(await revokeApiKey(all, { id })).toBeUndefined();
      expect((await make({ name: "twice" })).id).not.toBe(id);
    });

    test("a list shows what works, and on demand what did", async () => {
      const lasting = await make();
      const revoked = await make();
      const expired = await make({ expiresAt: new Date(systemClock.nowMs() - 1_000) });
      await revokeApiKey(all, { id: revoked.id });
      const states = async (every: boolean) =>
        (await listApiKeys(all, { all: every }))
          .filter(({ id }) => id >= lasting.id)
          .map(({ id, state }) => [id, state]);
      expect(await states(false)).toEqual([[lasting.id, "active"]]);
      expect(await states(true)).toEqual([
        [expired.id, "expired"],
        [revoked.id, "revoked"],
        [lasting.id, "active"],
      ]);
    });

    test("what is no key, unknown or expired is refused", async () => {
      const { verify, wait } = verifier();
      const soon = await make({ expiresAt: new Date(systemClock.nowMs() + 60_000) });
      expect(await verify("secret")).toEqual({ ok: false, reason: "malformed" });
      expect(await verify(generateApiKey())).toEqual({ ok: false, reason: "unknown" });
      expect(await verify(soon.key)).toMatchObject({ ok: true });
      wait(KEY_REMEMBERED_MS - 1);
      expect(await verify(soon.key)).toMatchObject({ ok: true });
      wait(60_000);
      expect(await verify(soon.key)).toEqual({ ok: false, reason: "expired" });
    });

    test("a revoked key works no longer than answers are remembered", async () => {
      const { verify, wait } = verifier();
      const { id, key } = await make();
      expect(await verify(key)).toMatchObject({ ok: true });
      await revokeApiKey(all, { id });
      wait(KEY_REMEMBERED_MS - 1);
      expect(await verify(key)).toMatchObject({ ok: true });
      wait(1);
      expect(await verify(key)).toEqual({ ok: false, reason: "revoked" });
    });

    test("many requests with one key are one look-up", async () => {
      const { verify } = verifier();
      const { key, id } = await make();
      const answers = await Promise.all(Array.from({ length: 500 }, () => verify(key)));
      expect(answers.every(({ ok }) => ok)).toBe(true);
      // Gone from the table, and still known: nobody asked again.
      await all`DELETE FROM timespan.api_keys WHERE api_key_id = ${id}`;
      expect(await verify(key)).toMatchObject({ ok: true });
    });

    test("who tries out keys is told to wait instead of filling the queue of look-ups", async () => {
      const { verify } = verifier();
      const tried = await Promise.all(Array.from({ length: 500 }, () => verify(generateApiKey())));
      const reasons = tried.map((verdict) => (verdict.ok ? "ok" : verdict.reason));
      expect(reasons.filter((reason) => reason === "unknown")).toHaveLength(100);
      expect(reasons.filter((reason) => reason === "busy")).toHaveLength(400);
      const { key } = await make();
      expect(await verify(key)).toMatchObject({ ok: true });
    });

    test("the last use is written down, and not with every request", async () => {
      const { verify, wait, failures } = verifier();
      const { id, key } = await make();
      const lastUsed = async () => {
        const [row] = await all`SELECT last_used_at FROM timespan.api_keys WHERE api_key_id = ${id}`;
        return row?.last_used_at as Date | null;
      };
      expect(await lastUsed()).toBeNull();
      await verify(key);
      await eventually(async () => (await lastUsed()) !== null, { what: "the use to be written down" });
      const first = await lastUsed();
      wait(KEY_REMEMBERED_MS);
      await verify(key);
      expect(await lastUsed()).toEqual(first);
      expect(failures).toEqual([]);
    });

    test("the reader may write down nothing else", async () => {
      for (const statement of [
        "UPDATE timespan.api_keys SET revoked_at = NULL",
        "UPDATE timespan.api_keys SET scopes = ARRAY['admin']",
        "DELETE FROM timespan.api_keys",
        "INSERT INTO timespan.api_keys (key_hash, key_hint, name, scopes) VALUES (decode(repeat('00', 32), 'hex'), 'x', 'x', ARRAY['admin'])",
      ]) {
        await expect(reader.unsafe(statement).execute()).rejects.toThrow("permission denied");
      }
    });

    test("a database that is away is an error, and asked again the next time", async () => {
      const away = openDatabase({
        url: "postgres://timespan@127.0.0.1:1/timespan",
        applicationName: "test",
        poolMax: 1,
        statementTimeoutMs: 1_000,
      });
      const verify = createKeyVerifier(away, systemClock, () => {});
      const key = generateApiKey();
      for (let attempt = 0; attempt < 2; attempt++) await expect(verify(key)).rejects.toThrow();
      await closeDatabase(away);
    });
  });
}
