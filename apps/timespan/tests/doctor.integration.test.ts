/** Healthy databases, and each thing that can go wrong brought about for real. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { closeDatabase, type Database, openDatabase } from "@timespan/store/database";
import { NEWEST_MIGRATIONS } from "@timespan/store/schema-version";
import { maintainRollups } from "@timespan/store/storage/maintain-rollups";
import { maintainStorage } from "@timespan/store/storage/maintain-storage";
import {
  applyStorage,
  createTestDatabase,
  openAsSuperuser,
  type TestDatabase,
} from "@timespan/testing/test-database";
import { testEngines } from "@timespan/testing/test-environment";
import { examine } from "../src/commands/doctor.ts";
import type { Finding } from "../src/commands/doctor-finding.ts";

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
const rollups = { lateAfterMs: 30 * MINUTE_MS, refreshIntervalMs: 30_000, refreshDelayMs: 2 * MINUTE_MS };
const CLOSED_PORT_URL = "postgres://timespan@127.0.0.1:1/timespan";

for (const { engine, present } of testEngines()) {
  describe.skipIf(!present)(`timespan doctor on ${engine}`, () => {
    let created: TestDatabase;
    let all: Database;
    beforeAll(async () => {
      created = await createTestDatabase(engine);
      all = openAsSuperuser(created.url);
      const writer = openDatabase({
        url: created.url,
        role: "timespan_writer",
        applicationName: "doctor tests",
        poolMax: 1,
        statementTimeoutMs: 30_000,
      });
      await applyStorage(writer);
      await maintainRollups(writer, rollups);
      await closeDatabase(writer);
    });
    afterEach(async () => {
      await all`TRUNCATE timespan.ingest_offsets, timespan.dead_letters, timespan.late_spans`;
    });
    afterAll(async () => {
      await closeDatabase(all);
      await created.drop();
    });

    async function look(url = created.url, statementTimeoutMs = 10_000): Promise<Map<string, Finding>> {
      const database = openDatabase({
        url,
        applicationName: "doctor tests",
        poolMax: 1,
        statementTimeoutMs,
        readOnly: true,
      });
      try {
        return new Map((await examine(database, url)).map((finding) => [finding.check, finding]));
      } finally {
        await closeDatabase(database);
      }
    }

    /** All but the disk, which is what the machine of the tests has. */
    const notOk = (findings: Map<string, Finding>) =>
      [...findings.values()].filter(({ check, status }) => status !== "ok" && check !== "disk");

    /** By both entries: the one of a person's machine and the one of the image. */
    async function run(entry: "main.ts doctor" | "doctor-main.ts", url: string, ...args: string[]) {
      const [file = "", ...first] = entry.split(" ");
      const child = Bun.spawn([process.execPath, join(import.meta.dir, "../src", file), ...first, ...args], {
        env: { PATH: process.env.PATH, HOME: process.env.HOME, DATABASE_URL: url },
        stdin: "ignore",
        stdout: "pipe",
        stderr: "pipe",
      });
      const [output, errors, code] = await Promise.all([
        new Response(child.stdout).text(),
        new Response(child.stderr).text(),
        child.exited,
      ]);
      return { code, output, errors };
    }

    const deadLetter = () => all`
      INSERT INTO timespan.dead_letters (topic, partition, source_offset, source_index, reason, detail)
      VALUES ('apm.spans', 0, 1, 0, 'invalid_event', 'a test')`;

    /** Times are seconds ago. */
    const partition = (
      number: number,
      { high, observed, behind }: { high: number; observed: number | null; behind: number | null },
    ) => all`
      INSERT INTO timespan.ingest_offsets (topic, partition, next_offset, high_watermark, observed_at, behind_since)
      VALUES ('t', ${number}, 100, ${high},
        now() - make_interval(secs => ${observed}), now() - make_interval(secs => ${behind}))`;

    const storeSpans = (fromMs: number, toMs: number) => all`
      INSERT INTO timespan.spans (
        start_time, duration_us, sample_weight, trace_id, span_id, resource_id, source_offset, source_index, source_id,
        duration_bin, span_kind, status_code, service_name, environment, span_name, endpoint, attributes
      )
      SELECT time, 1000, 1, gen_random_uuid(), 1, 1, 0, 0, 0, 318, 2, 0, 'cart', 'production', 'GET /', 'GET /', '{}'
      FROM generate_series(${new Date(fromMs)}::timestamptz, ${new Date(toMs)}::timestamptz, INTERVAL '10 minutes') AS time`;

    test("finds nothing wrong with a healthy database", async () => {
      await partition(0, { high: 100, observed: 1, behind: null });
      const findings = await look();
      expect(notOk(findings)).toEqual([]);
      expect(findings.get("disk")?.detail).toContain("are free"); // the server is on this machine
      expect([...findings.keys()]).toContain(engine === "timescaledb" ? "job-failures" : "partitions");
    });

    test.each(["main.ts doctor", "doctor-main.ts"] as const)(
      "%s ends with 0, 1 or 2, and says the same as JSON",
      async (entry) => {
        const healthy = await run(entry, created.url, "--json");
        const parsed: { status: string; findings: Finding[] } = JSON.parse(healthy.output);
        const disk = parsed.findings.find(({ check }) => check === "disk");
        expect(healthy.code).toBe(disk?.status === "ok" ? 0 : disk?.status === "warn" ? 1 : 2);

        await deadLetter();
        const warned = await run(entry, created.url);
        expect(warned.code).toBe(Math.max(1, healthy.code));
        expect(warned.output).toMatch(/^warn +dead-letters +1 wait: 1 invalid_event of apm\.spans$/m);
        expect(warned.output).toMatch(/^ +→ `timespan dead-letters list`/m);

        const away = await run(entry, CLOSED_PORT_URL, "--json");
        expect(away.code).toBe(2);
        expect(JSON.parse(away.output)).toMatchObject({
          status: "fail",
          findings: [{ check: "database", status: "fail" }],
        });
      },
    );

    test("says how to take from analysts what a database gives to everybody", async () => {
      const name = new URL(created.url).pathname.slice(1);
      await all.unsafe(`GRANT TEMPORARY ON DATABASE ${name} TO PUBLIC`);
      const finding = (await look()).get("analyst-rights");
      expect(finding).toMatchObject({
        status: "warn",
        remedy: `REVOKE TEMPORARY ON DATABASE ${name} FROM PUBLIC;`,
      });
      await all.unsafe(finding?.remedy ?? "");
      expect(notOk(await look())).toEqual([]);
    });

    test("says which partitions are behind, by how much, and whether anybody looks", async () => {
      await partition(0, { high: 150, observed: 5, behind: 30 });
      expect(notOk(await look())).toEqual([]);
      await partition(1, { high: 1_100, observed: 5, behind: 200 });
      expect((await look()).get("kafka-lag")).toMatchObject({
        status: "warn",
        detail: "behind Kafka: t/1 for 3 min (1000 records)",
      });
      await partition(2, { high: 101, observed: null, behind: 2_000 });
      const findings = await look();
      expect(findings.get("kafka-lag")?.status).toBe("fail");
      expect(findings.get("stream-processor")).toMatchObject({
        status: "warn",
        detail: "nobody looks at t/2",
      });
      await all`UPDATE timespan.ingest_offsets SET observed_at = now() - INTERVAL '5 minutes'`;
      expect((await look()).get("stream-processor")).toMatchObject({
        status: "fail",
        detail: "nobody has looked at Kafka for 5 min",
      });
    });

    test("says when late rows pile up", async () => {
      await all`
        INSERT INTO timespan.late_spans
        SELECT now(), 1, 1, gen_random_uuid(), 1, NULL, 1, n, 0, 0, 0, 2, 0, NULL, 's', 'e', 'n', 'n',
          NULL, NULL, NULL, NULL, '{}', NULL, NULL
        FROM generate_series(1, 100000) AS n`;
      expect((await look()).get("late-rows")).toMatchObject({ status: "warn" });
    });

    test("a check that cannot be made hides no other", async () => {
      await partition(0, { high: 1_000, observed: 400, behind: 300 });
      const locked = Promise.withResolvers<void>();
      const done = Promise.withResolvers<void>();
      const lock = all.begin(async (transaction) => {
        await transaction`LOCK TABLE timespan.dead_letters IN ACCESS EXCLUSIVE MODE`;
        locked.resolve();
        await done.promise;
      });
      await locked.promise;
      const findings = await look(created.url, 1_000);
      done.resolve();
      await lock;
      expect(findings.get("dead-letters")).toMatchObject({
        status: "unknown",
        remedy: expect.stringContaining("took too long"),
      });
      expect(findings.get("kafka-lag")?.status).toBe("warn");
      expect(findings.get("stream-processor")?.status).toBe("fail");
      expect(findings.has("disk")).toBe(true);
    });

    test("a user who may see nothing is told so, check by check", async () => {
      const role = `nobody_${crypto.randomUUID().replaceAll("-", "")}`;
      await all.unsafe(`CREATE ROLE ${role} LOGIN PASSWORD 'x'`);
      try {
        const url = new URL(created.url);
        url.username = role;
        url.password = "x";
        const findings = await look(url.href);
        expect(findings.get("postgres-version")?.status).toBe("ok");
        expect(findings.get("work_mem")?.status).toBe("ok");
        expect(findings.get("roles")).toMatchObject({
          status: "warn",
          detail: expect.stringContaining("timespan_owner"),
        });
        expect(findings.get("dead-letters")).toMatchObject({
          status: "unknown",
          remedy: expect.stringContaining("Use the user that migrates"),
        });
      } finally {
        await all.unsafe(`DROP ROLE ${role}`);
      }
    });

    test("a database that was never migrated is told to be", async () => {
      const name = `test_${crypto.randomUUID().replaceAll("-", "")}`;
      await all.unsafe(`CREATE DATABASE ${name}`);
      try {
        const url = new URL(created.url);
        url.pathname = `/${name}`;
        const findings = await look(url.href);
        expect(findings.get("migrations")).toMatchObject({
          status: "fail",
          remedy: expect.stringContaining("run `migrate`"),
        });
        expect(findings.get("shared_buffers")?.status).toBe("ok");
      } finally {
        await all.unsafe(`DROP DATABASE ${name} WITH (FORCE)`);
      }
    });

    test("names the migrations that are missing", async () => {
      const removed = await all`
        DELETE FROM timespan.schema_migrations WHERE name = ${NEWEST_MIGRATIONS.common} RETURNING *`;
      expect((await look()).get("migrations")).toMatchObject({
        status: "fail",
        detail: expect.stringContaining(NEWEST_MIGRATIONS.common),
      });
      await all`INSERT INTO timespan.schema_migrations ${all(removed)}`;
    });

    if (engine === "postgres") {
      test("a day without its partition is a failure when rows will need it soon", async () => {
        const day = (ahead: number) =>
          new Date(Date.now() + ahead * DAY_MS).toISOString().slice(0, 10).replaceAll("-", "");
        await all.unsafe(`DROP TABLE timespan.spans_${day(2)}`);
        expect((await look()).get("partitions")?.status).toBe("warn");
        await all.unsafe(`DROP TABLE timespan.spans_${day(1)}`);
        expect((await look()).get("partitions")?.status).toBe("fail");
        await maintainStorage(all);
        expect((await look()).get("partitions")?.status).toBe("ok");
      });
      return;
    }

    const jobId = async (procedure: string, table: string | null) => {
      const [job] = await all<{ job_id: number }[]>`
        SELECT job_id FROM timescaledb_information.jobs
        WHERE proc_name = ${procedure} AND hypertable_name IS NOT DISTINCT FROM ${table}`;
      return job?.job_id ?? 0;
    };

    test("a job that fails is shown with what it said", async () => {
      await all.unsafe(`
        CREATE PROCEDURE public.break_down(job_id integer, config jsonb) LANGUAGE plpgsql
        AS $$ BEGIN RAISE EXCEPTION 'the disk is made of cheese'; END $$`);
      const [added] = await all<{ id: number }[]>`SELECT add_job('public.break_down', '1 hour') AS id`;
      try {
        let finding: Finding | undefined;
        for (let second = 0; second < 60 && finding?.status !== "fail"; second++) {
          await Bun.sleep(1_000);
          finding = (await look()).get("job-failures");
        }
        expect(finding).toMatchObject({
          status: "fail",
          detail: `break_down (job ${added?.id}) failed (the disk is made of cheese; it last succeeded: never)`,
          remedy: expect.stringContaining(`run_job(${added?.id})`),
        });
      } finally {
        await all`SELECT delete_job(${added?.id ?? 0})`;
      }
    });

    test("a refresh that was stopped is a failure, and so are rollups that fall behind", async () => {
      const id = await jobId("refresh_rollups", null);
      await all`SELECT alter_job(${id}, scheduled => false)`;
      const now = Date.now();
      await storeSpans(now - 3 * 60 * MINUTE_MS, now);
      const findings = await look();
      expect(findings.get("job-schedule")).toMatchObject({
        status: "fail",
        detail: `switched off: refresh_rollups (job ${id})`,
        remedy: `SELECT alter_job(${id}, scheduled => true);`,
      });
      expect(findings.get("rollups")).toMatchObject({
        status: "warn",
        detail: expect.stringMatching(/_1m by (3 h|1[78]\d min)/),
      });
      await storeSpans(now - 2 * DAY_MS, now - 2 * DAY_MS);
      expect((await look()).get("rollups")?.status).toBe("fail");

      await all`SELECT alter_job(${id}, scheduled => true)`;
      await all`CALL run_job(${id})`;
      expect(notOk(await look())).toEqual([]);
    });

    test("chunks that stay out of the columnstore are counted", async () => {
      const id = await jobId("policy_compression", "spans");
      const ofRollup = await jobId("policy_compression", "endpoint_red_1m");
      for (const job of [id, ofRollup]) {
        await all`SELECT alter_job(${job}, scheduled => false, schedule_interval => INTERVAL '1 second')`;
      }
      await storeSpans(Date.now() - 3 * DAY_MS, Date.now() - 3 * DAY_MS);
      await all`CALL run_job(${await jobId("refresh_rollups", null)})`;
      await Bun.sleep(2_500); // two runs that did not happen
      expect((await look()).get("columnstore")).toMatchObject({
        status: "warn",
        detail: expect.stringMatching(/not in the columnstore: .*\d+ of spans, the oldest of 3 d ago/),
      });
      await all`CALL run_job(${id})`;
      expect((await look()).get("columnstore")).toMatchObject({
        status: "warn",
        detail: expect.stringMatching(
          /not in the columnstore: \d+ of endpoint_red_1m, the oldest of 3 d ago/,
        ),
      });
      await all`CALL run_job(${ofRollup})`;
      expect((await look()).get("columnstore")?.status).toBe("ok");
      for (const job of [id, ofRollup]) {
        await all`SELECT alter_job(${job}, scheduled => true, schedule_interval => INTERVAL '15 minutes')`;
      }
    });

    test("a job that the stream-processor sets up and that is gone is missed", async () => {
      const id = await jobId("refresh_rollups", null);
      await all`SELECT delete_job(${id})`;
      const findings = await look();
      expect(findings.get("job-schedule")).toMatchObject({
        status: "warn",
        detail: "there is no job refresh_rollups",
      });
      expect(findings.get("rollups")?.status).toBe("warn");
      await maintainRollups(all, rollups);
      expect((await look()).get("job-schedule")?.status).toBe("ok");
    });

    test("a restore that was not ended is a failure", async () => {
      const name = new URL(created.url).pathname.slice(1);
      await all.unsafe(`ALTER DATABASE ${name} SET timescaledb.restoring = 'on'`);
      const findings = await look();
      await all.unsafe(`ALTER DATABASE ${name} RESET timescaledb.restoring`);
      expect(findings.get("timescaledb")).toMatchObject({
        status: "fail",
        remedy: expect.stringContaining("timescaledb_post_restore()"),
      });
    });
  });
}
