import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  applyStorage,
  createTestDatabase,
  openAsSuperuser,
  type TestDatabase,
} from "@timespan/testing/test-database";
import { testEngines } from "@timespan/testing/test-environment";
import { closeDatabase, type Database, openDatabase } from "../src/database.ts";
import { deleteExpiredRows } from "../src/storage/delete-expired-rows.ts";
import { maintainRollups } from "../src/storage/maintain-rollups.ts";
import { moveLateRows } from "../src/storage/move-late-rows.ts";
import { readRetention } from "../src/storage/read-retention.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const DEVELOPMENT_2D = {
  retentionByEnvironment: [
    { signal: "spans" as const, environmentKey: "load_test", retentionMs: 2 * DAY_MS },
  ],
};

for (const { engine, present } of testEngines()) {
  describe.skipIf(!present)(`retention on ${engine}`, () => {
    let created: TestDatabase;
    let all: Database;
    let writer: Database;
    let reader: Database;

    beforeAll(async () => {
      created = await createTestDatabase(engine);
      all = openAsSuperuser(created.url);
      const open = (role: "timespan_writer" | "timespan_reader") =>
        openDatabase({
          url: created.url,
          role,
          applicationName: "test",
          poolMax: 2,
          statementTimeoutMs: 30_000,
        });
      writer = open("timespan_writer");
      reader = open("timespan_reader");
      await applyStorage(writer);
    });
    afterAll(async () => {
      await Promise.all([closeDatabase(all), closeDatabase(writer), closeDatabase(reader)]);
      await created.drop();
    });

    /** A span of each environment for every hour of `days`, into `table`. */
    async function fill(table: "spans" | "late_spans", days: number): Promise<void> {
      await all`
        INSERT INTO timespan.${all(table)} (
          start_time, duration_us, duration_bin, sample_weight, trace_id, span_id, resource_id, source_offset, source_index,
          source_id, span_kind, status_code, service_name, environment, span_name, endpoint, attributes)
        SELECT now() - i * interval '1 hour', 5, 1, 1, md5(i::text)::uuid, i, 1, i, 0, 1, 2, 1, 'svc-' || i % 3, environment, 'op', 'op', '{}'
        FROM generate_series(1, ${days * 24 - 6}) AS i, unnest(ARRAY['production', 'Load-Test']) AS environment`;
    }
    const oldestHours = async (environment: string) =>
      (
        await all`
          SELECT count(*)::int, floor(extract(epoch FROM now() - min(start_time)) / 3600)::int AS hours
          FROM timespan.spans WHERE environment = ${environment}`
      )[0];
    const statusOf = async (relation: string, environment: string | null = null) => {
      const items = await readRetention(reader);
      return items.find((item) => item.relation === relation && item.environment === environment);
    };

    test("rows of an environment go when its own retention has passed, those of others stay, and it can be broken off", async () => {
      await fill("spans", 7);
      // Half of the chunks are in the columnstore, one of them with rows that came after.
      if (engine === "timescaledb") {
        await all`
          SELECT public.compress_chunk(chunk) FROM public.show_chunks('timespan.spans', older_than => interval '3 days') AS chunk`;
        await all`
          INSERT INTO timespan.spans SELECT * FROM timespan.spans
          WHERE start_time BETWEEN now() - interval '5 days' AND now() - interval '4 days 23 hours'`;
      }
      const before = await oldestHours("production");
      await applyStorage(writer, DEVELOPMENT_2D);
      expect(await deleteExpiredRows(writer, 3)).toBeGreaterThan(0);
      expect((await oldestHours("Load-Test"))?.hours).toBeGreaterThan(72);
      const deleted = await deleteExpiredRows(writer);
      expect(deleted).toBeGreaterThan(0);
      // Whole chunks or days, so up to one of them is kept for longer.
      const left = await oldestHours("Load-Test");
      expect(left?.hours).toBeWithin(46, 2 * 24 + (engine === "timescaledb" ? 6 : 24) + 1);
      expect(await oldestHours("production")).toEqual(before);
      expect(await deleteExpiredRows(writer)).toBe(0);
      expect(await oldestHours("Load-Test")).toEqual(left);
    });

    test("a late row older than its environment's retention is not moved to where rows of it were deleted", async () => {
      await fill("late_spans", 7);
      const before = await oldestHours("Load-Test");
      const { expiredCount } = await moveLateRows(writer);
      expect(expiredCount).toBeGreaterThan(4 * 24);
      const after = await oldestHours("Load-Test");
      expect(after?.count).toBe((before?.count ?? 0) + 47);
      expect(after?.hours).toBe(before?.hours);
    });

    test("the status says what was promised and the oldest row that is there, of all and of one environment", async () => {
      const spans = await statusOf("spans");
      expect(spans).toMatchObject({ signal: "spans", retention_seconds: 7 * 86_400 });
      expect(spans?.size_bytes).toBeGreaterThan(0);
      const [oldest] = await all`
        SELECT extract(epoch FROM min(start_time))::float8 AS spans,
               extract(epoch FROM min(start_time) FILTER (WHERE environment = 'Load-Test'))::float8 AS load_test
        FROM timespan.spans`;
      const seconds = (text: string | null | undefined) => Date.parse(text ?? "") / 1_000;
      expect(seconds(spans?.oldest_time)).toBeCloseTo(oldest?.spans, 2);
      expect(seconds(spans?.next_drop_time)).toBeGreaterThan(oldest?.spans + 7 * 86_400);
      const loadTest = await statusOf("spans", "load_test");
      expect(loadTest).toMatchObject({ retention_seconds: 2 * 86_400, size_bytes: null });
      expect(seconds(loadTest?.oldest_time)).toBeCloseTo(oldest?.load_test, 2);
      expect(await statusOf("dead_letters")).toMatchObject({ oldest_time: null, next_drop_time: null });
    });

    test("a retention that is no longer set is forgotten", async () => {
      await applyStorage(writer);
      expect(await statusOf("spans", "load_test")).toBeUndefined();
    });

    if (engine === "timescaledb") {
      test("rollups are kept by their grain, and refreshed no further back than every environment's rows are there", async () => {
        await applyStorage(writer, { ...DEVELOPMENT_2D, retentionRollup1mMs: 10 * DAY_MS });
        await maintainRollups(writer, {
          lateAfterMs: HOUR_MS,
          refreshIntervalMs: 30_000,
          refreshDelayMs: 60_000,
        });
        expect(await statusOf("service_red_1m")).toMatchObject({
          signal: "rollup_1m",
          retention_seconds: 864_000,
        });
        expect(await statusOf("service_red_1h")).toMatchObject({
          signal: "rollup_1h",
          retention_seconds: 400 * 86_400,
        });
        const [job] = await all`
          SELECT config FROM timescaledb_information.jobs WHERE proc_name = 'refresh_rollups'`;
        expect(job?.config).toMatchObject({ spans_kept: "2 days -01:00:00", logs_kept: "7 days -01:00:00" });
        const policies = await all`
          SELECT DISTINCT config ->> 'drop_after' AS after FROM timescaledb_information.jobs
          WHERE proc_name = 'policy_retention' ORDER BY 1`;
        expect(policies.map(({ after }) => after)).toEqual(["10 days", "400 days", "7 days"]);
      });
    }
  });
}
