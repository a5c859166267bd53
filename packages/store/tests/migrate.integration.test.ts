import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  applyStorage,
  createTestDatabase,
  openAsSuperuser,
  type TestDatabase,
} from "@timespan/testing/test-database";
import { testEngines } from "@timespan/testing/test-environment";
import { closeDatabase, type Database, openDatabase } from "../src/database.ts";
import { migrate } from "../src/migrate.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

/** The columns of spans that a row must have. */
const REQUIRED = [
  "start_time",
  "duration_us",
  "sample_weight",
  "trace_id",
  "span_id",
  "resource_id",
  "source_offset",
  "source_index",
  "source_id",
  "duration_bin",
  "span_kind",
  "status_code",
  "service_name",
  "environment",
  "span_name",
  "endpoint",
  "attributes",
];

/** Tables that a job of TimescaleDB writes, where plain PostgreSQL has a view. */
const OF_JOBS = ["derived_service_edges_1m", "service_edge_minutes"];

/** Of the engines that were looked at before. */
const schemas: string[] = [];

for (const { engine, present } of testEngines()) {
  describe.skipIf(!present)(`the schema on ${engine}`, () => {
    let created: TestDatabase;
    let all: Database;
    let writer: Database;

    beforeAll(async () => {
      created = await createTestDatabase(engine);
      all = openAsSuperuser(created.url);
      writer = openDatabase({
        url: created.url,
        role: "timespan_writer",
        applicationName: "test",
        poolMax: 2,
        statementTimeoutMs: 30_000,
      });
    });
    afterAll(async () => {
      await Promise.all([closeDatabase(all), closeDatabase(writer)]);
      await created.drop();
    });

    test("migrating again applies nothing, also by several at once", async () => {
      const results = await Promise.all([1, 2, 3].map(() => migrate({ databaseUrl: created.url })));
      expect(results).toEqual([1, 2, 3].map(() => ({ engine, applied: [] })));
    });

    test("every table, view, column and function of ours says what it is", async () => {
      const silent = await all`
        SELECT c.relname || coalesce('.' || a.attname, '') AS name
        FROM pg_class c
        JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname IN ('timespan', 'apm')
        LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        WHERE c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition AND c.relname <> 'schema_migrations'
          AND (obj_description(c.oid, 'pg_class') IS NULL OR col_description(c.oid, a.attnum) IS NULL)`;
      expect([...silent]).toEqual([]);
    });

    test("nothing that people read is readable by everybody", async () => {
      const open = await all`
        SELECT table_name FROM information_schema.table_privileges
        WHERE grantee = 'PUBLIC' AND table_schema IN ('timespan', 'apm')`;
      expect([...open]).toEqual([]);
    });

    test("the columns of both engines and their indexes are the ones of the common migration", async () => {
      const columns = await all`
        SELECT table_name || '.' || column_name || ' ' || data_type ||
               CASE is_nullable WHEN 'NO' THEN ' NOT NULL' ELSE '' END AS line
        FROM information_schema.columns
        WHERE table_schema IN ('timespan', 'apm') AND table_name !~ '_\\d{8}$' AND NOT table_name = ANY (${OF_JOBS})
        ORDER BY table_schema, table_name, ordinal_position`;
      const indexes = await all`
        SELECT regexp_replace(indexdef, 'INDEX \\S+ ON( ONLY)?', 'INDEX ON') AS line
        FROM pg_indexes
        WHERE schemaname = 'timespan' AND tablename !~ '_\\d{8}$' AND NOT tablename = ANY (${OF_JOBS}) ORDER BY 1`;
      const schema = [...columns, ...indexes].map(({ line }) => line).join("\n");
      expect(schema).toMatchSnapshot();
      // What differs between the engines is storage, not schema.
      for (const other of schemas) expect(schema).toBe(other);
      schemas.push(schema);
    });

    if (engine === "timescaledb") {
      const policies = async () =>
        (
          await all`
            SELECT hypertable_name AS name, proc_name AS job, owner::text,
                   coalesce(config ->> 'drop_after', config ->> 'compress_after') AS after
            FROM timescaledb_information.jobs WHERE hypertable_schema = 'timespan' ORDER BY 1, 2`
        ).map(({ name, job, after, owner }) => `${name} ${job} ${after} ${owner}`);

      test("hypertables have explicit columnstore and retention policies, run by the owner", async () => {
        await applyStorage(writer);
        const ofSignals = (await policies()).filter((policy) => !/_\d+[mh] /.test(policy));
        expect(ofSignals).toEqual(
          ["log_records", "spans", "trace_locator"].flatMap((table) => [
            `${table} policy_compression 00:45:00 timespan_owner`,
            `${table} policy_retention 7 days timespan_owner`,
          ]),
        );
      });

      test("a changed retention or chunk interval changes the policies; the same again changes nothing", async () => {
        const jobs = () =>
          all`SELECT job_id FROM timescaledb_information.jobs WHERE hypertable_schema = 'timespan' ORDER BY 1`;
        await applyStorage(writer);
        const before = await jobs();
        await applyStorage(writer);
        expect([...(await jobs())]).toEqual([...before]);
        await applyStorage(writer, {
          retentionLogsMs: 36 * HOUR_MS,
          chunkIntervalMs: HOUR_MS,
        });
        expect(await policies()).toContain("log_records policy_retention 1 day 12:00:00 timespan_owner");
        expect(await policies()).toContain("trace_locator policy_retention 7 days timespan_owner");
        const intervals = await all`
          SELECT DISTINCT time_interval::text AS text FROM timescaledb_information.dimensions
          WHERE hypertable_name IN ('spans', 'log_records', 'trace_locator')`;
        expect(intervals.map(({ text }) => text)).toEqual(["01:00:00"]);
        await applyStorage(writer);
      });

      test("a chunk goes to the columnstore with its sparse indexes, and a trace is still found in it", async () => {
        await all`
          INSERT INTO timespan.spans (${all(REQUIRED)})
          SELECT now() - interval '1 day', 5, 1, md5(i::text)::uuid, i, 1, i, 0, 1, 73, 2, 1, 'svc-' || i % 5, 'production', 'op', 'op', '{}'
          FROM generate_series(1, 5000) AS i`;
        await all`SELECT public.compress_chunk(chunk) FROM public.show_chunks('timespan.spans') AS chunk`;
        const [row] = await all`SELECT count(*)::int FROM timespan.spans WHERE trace_id = md5('77')::uuid`;
        expect(row?.count).toBe(1);
        const plan = await all`EXPLAIN SELECT * FROM timespan.spans WHERE trace_id = md5('77')::uuid`;
        expect(plan.map((line) => line["QUERY PLAN"]).join("\n")).toContain("bloom1_contains");
      });
    } else {
      const days = async () =>
        (
          await all`
            SELECT right(child.relname, 8) AS day FROM pg_inherits
            JOIN pg_class child ON child.oid = inhrelid
            WHERE inhparent = 'timespan.spans'::regclass ORDER BY 1`
        ).map(({ day }) => day);
      const dayAt = (offset: number) =>
        new Date(Date.now() + offset * DAY_MS).toISOString().slice(0, 10).replaceAll("-", "");
      const expectedDays = (kept: number) =>
        Array.from({ length: kept + 3 }, (_, index) => dayAt(index - kept));

      test("there is a partition for every day that is accepted and two ahead, and no other", async () => {
        await applyStorage(writer);
        expect(await days()).toEqual(expectedDays(7));
      });

      test("a shorter retention drops the days before it, with their rows; a longer one makes them again", async () => {
        await all`
          INSERT INTO timespan.spans (${all(REQUIRED)})
          SELECT now() - i * interval '1 day', 5, 1, md5(i::text)::uuid, i, 1, i, 0, 1, 73, 2, 1, 'old', 'production', 'op', 'op', '{}'
          FROM generate_series(0, 6) AS i`;
        await applyStorage(writer, { retentionSpansMs: 2 * DAY_MS });
        expect(await days()).toEqual(expectedDays(2));
        const [row] = await all`SELECT count(*)::int FROM timespan.spans WHERE service_name = 'old'`;
        expect(row?.count).toBe(3);
        await applyStorage(writer);
        expect(await days()).toEqual(expectedDays(7));
      });
    }

    test("dead letters past their retention are deleted", async () => {
      await all`
        INSERT INTO timespan.dead_letters (received_at, topic, partition, source_offset, source_index, reason, detail)
        VALUES (now() - interval '31 days', 't', 0, 1, 0, 'invalid_event', ''), (now(), 't', 0, 2, 0, 'invalid_event', '')`;
      await applyStorage(writer);
      const rows = await all`SELECT source_offset::int AS at FROM timespan.dead_letters WHERE topic = 't'`;
      expect(rows.map(({ at }) => at)).toEqual([2]);
    });
  });
}
