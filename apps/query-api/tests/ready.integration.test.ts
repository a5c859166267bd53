import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { closeDatabase, type Database } from "@timespan/store/database";
import { observePartitions } from "@timespan/store/ingest/observe-partitions";
import { openPartition } from "@timespan/store/ingest/open-partition";
import { NEWEST_MIGRATIONS } from "@timespan/store/schema-version";
import { problem } from "@timespan/telemetry/api/problem";
import { type ReadinessCheck, readiness } from "@timespan/telemetry/api/readiness";
import { randomHex, spanEvent } from "@timespan/testing/events";
import { openAsSuperuser } from "@timespan/testing/test-database";
import { testEngines } from "@timespan/testing/test-environment";
import { get, openReader, startTestApi, type TestApi, testApp } from "./test-api.ts";

const QUERIES = [`/query/traces/${randomHex(16)}`, "/query/spans", "/query/logs"];

for (const { engine, present } of testEngines()) {
  describe.skipIf(!present)(`/ready on ${engine}`, () => {
    let api: TestApi;
    let superuser: Database;
    beforeAll(async () => {
      api = await startTestApi(engine, { ingestLagMaxSeconds: 60 });
      superuser = openAsSuperuser(api.url);
    });
    afterAll(async () => {
      await closeDatabase(superuser);
      await api?.close();
    });

    const check = async (name: ReadinessCheck["name"]) => {
      const { status, body } = await api.get("/ready");
      const answer = readiness.parse(body);
      expect(status).toBe(answer.status === "ready" ? 200 : 503);
      const found = answer.checks.find((one) => one.name === name);
      return { status, ok: found?.ok, detail: found?.detail };
    };

    test("is 200 on a database that was migrated and holds nothing yet", async () => {
      const { status, body } = await api.get("/ready");
      expect(status).toBe(200);
      expect(readiness.parse(body)).toEqual({
        status: "ready",
        checks: [
          { name: "database", ok: true, detail: "answers" },
          { name: "migrations", ok: true, detail: "current" },
          { name: "ingest_lag", ok: true, detail: "nothing was ingested yet" },
        ],
      });
    });

    test("is 503 while records have waited longer than the limit, and 200 again once they are stored", async () => {
      const topic = "ready-lag";
      await openPartition(api.writer, topic, 0, { low: 0, high: 0 });
      await api.store([spanEvent()]);
      await observePartitions(api.writer, [{ topic, partition: 0, highWatermark: 500 }]);
      expect(await check("ingest_lag")).toMatchObject({
        status: 200,
        detail: expect.stringContaining("500 records wait"),
      });
      await superuser`UPDATE timespan.ingest_offsets SET behind_since = now() - interval '61 seconds' WHERE topic = ${topic}`;
      expect(await check("ingest_lag")).toMatchObject({
        status: 503,
        ok: false,
        detail: expect.stringContaining("61 s"),
      });
      await superuser`UPDATE timespan.ingest_offsets SET next_offset = 500, behind_since = NULL WHERE topic = ${topic}`;
      expect(await check("ingest_lag")).toEqual({
        status: 200,
        ok: true,
        detail: "nothing waits to be stored",
      });
    });

    test("is 503 when no stream-processor reports: nobody knows the lag then", async () => {
      await superuser`UPDATE timespan.ingest_offsets SET observed_at = now() - interval '90 seconds'`;
      expect(await check("ingest_lag")).toEqual({
        status: 503,
        ok: false,
        detail: "nothing waits to be stored; no stream-processor has reported for 90 s",
      });
      await superuser`UPDATE timespan.ingest_offsets SET observed_at = now()`;
    });

    test("is 503 while a migration is missing, and names it", async () => {
      const newest = NEWEST_MIGRATIONS.common;
      await superuser`DELETE FROM timespan.schema_migrations WHERE name = ${newest}`;
      expect(await check("migrations")).toMatchObject({
        status: 503,
        ok: false,
        detail: expect.stringContaining(newest),
      });
      await superuser`INSERT INTO timespan.schema_migrations (name, run_on) VALUES (${newest}, now())`;
      expect(await check("migrations")).toMatchObject({ status: 200, ok: true });
    });

    test("is 503 within its time while the database answers nothing, and queries that take too long are", async () => {
      const impatient = openReader(api.url, 300);
      const app = testApp(impatient, { queryTimeoutMs: 300 });
      await superuser.begin(async (transaction) => {
        await transaction`LOCK TABLE timespan.spans, timespan.log_records, timespan.trace_locator,
          timespan.schema_migrations, timespan.ingest_offsets IN ACCESS EXCLUSIVE MODE`;
        const started = performance.now();
        const ready = await api.get("/ready");
        expect(ready.status).toBe(503);
        expect(readiness.parse(ready.body).checks.map(({ ok }) => ok)).toEqual([false, false, false]);
        expect(performance.now() - started).toBeLessThan(4_000);
        for (const path of QUERIES) {
          const { status, body } = await get(app, path);
          expect(status).toBe(503);
          expect(problem.parse(body)).toMatchObject({
            type: "urn:timespan:problem:query_timeout",
            detail: expect.stringContaining("Narrow it"),
          });
        }
      });
      await closeDatabase(impatient);
      expect((await api.get("/ready")).status).toBe(200);
    });

    test("is 503 on a database that was never migrated, which queries say too", async () => {
      const name = `never_migrated_${randomHex(6)}`;
      await superuser.unsafe(`CREATE DATABASE ${name}`);
      const url = new URL(api.url);
      url.pathname = `/${name}`;
      const reader = openReader(url.href);
      const app = testApp(reader);
      const ready = await get(app, "/ready");
      expect(ready.status).toBe(503);
      expect(readiness.parse(ready.body).checks.slice(0, 2)).toEqual([
        { name: "database", ok: true, detail: "answers" },
        { name: "migrations", ok: false, detail: expect.stringContaining("never migrated") },
      ]);
      for (const path of QUERIES) {
        const { status, body } = await get(app, path);
        expect(status).toBe(503);
        expect(problem.parse(body).type).toBe("urn:timespan:problem:schema_not_current");
      }
      await closeDatabase(reader);
      await superuser.unsafe(`DROP DATABASE ${name}`);
    });
  });
}
