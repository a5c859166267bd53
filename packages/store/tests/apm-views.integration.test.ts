/** Schema apm as people read it: what it says, what its plans read, and what an analyst with limits can get out of it. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createShopMonthDatabase } from "@timespan/testing/shop-month-database";
import { openAsSuperuser, STORAGE_DEFAULTS, type TestDatabase } from "@timespan/testing/test-database";
import { testEngines } from "@timespan/testing/test-environment";
import { createAnalyst } from "../src/analysts/create-analyst.ts";
import { dropAnalyst } from "../src/analysts/drop-analyst.ts";
import { closeDatabase, type Database, openDatabase } from "../src/database.ts";
import { saveStorageSettings } from "../src/storage/save-storage-settings.ts";

const WINDOW = "'2026-03-09 11:00+00' AND '2026-03-09 12:00+00'";
const DAY_MS = 86_400_000;
const DAY = "'2026-03-09 00:00+00' AND '2026-03-09 23:59+00'";

/** By engine: what was answered, to hold the other against. */
const answers = new Map<string, string>();

for (const { engine, present } of testEngines()) {
  describe.skipIf(!present)(`schema apm on ${engine}`, () => {
    let created: TestDatabase;
    let all: Database;
    const logins: { name: string; database: Database }[] = [];

    /** A login as `timespan analysts create` makes it. */
    async function analyst(environments: string[] | null, services: string[] | null): Promise<Database> {
      const name = `ana_${crypto.randomUUID().slice(0, 8)}`;
      const made = await createAnalyst(all, { name, access: { environments, services } });
      const url = new URL(created.url);
      url.username = name;
      url.password = made?.password ?? "";
      const database = openDatabase({
        url: url.href,
        applicationName: "test",
        poolMax: 2,
        statementTimeoutMs: 30_000,
      });
      logins.push({ name, database });
      return database;
    }

    let everything: Database;
    let limited: Database;
    let traceId: string;

    beforeAll(async () => {
      created = await createShopMonthDatabase(engine);
      all = openAsSuperuser(created.url);
      everything = await analyst(null, null);
      limited = await analyst(["production"], ["storefront", "catalog"]);
      const [row] = await all`
        SELECT trace_id FROM timespan.spans
        WHERE span_name = 'POST /checkout' AND environment = 'production' AND status_code = 1
          AND start_time BETWEEN '2026-03-09 10:30+00' AND '2026-03-09 11:30+00'
        ORDER BY trace_id LIMIT 1`;
      traceId = row?.trace_id.replaceAll("-", "");
    });
    afterAll(async () => {
      for (const { name, database } of logins) {
        await closeDatabase(database);
        await dropAnalyst(all, name);
      }
      await closeDatabase(all);
      await created.drop();
    });

    const plan = async (database: Database, query: string) =>
      (await database.unsafe(`EXPLAIN ${query}`)).map((line) => line["QUERY PLAN"]).join("\n");
    /** The plan as it was run, without what turned out not to be needed. */
    const executed = async (database: Database, query: string) =>
      (await database.unsafe(`EXPLAIN (ANALYZE, TIMING OFF, COSTS OFF) ${query}`))
        .map((line) => line["QUERY PLAN"])
        .filter((line) => !line.includes("never executed"))
        .join("\n");
    /** Days or chunks of spans, logs and rollups that a plan reads. */
    const partsRead = (text: string) =>
      new Set(
        [...text.matchAll(/ on (?:\w+\.)?((?:spans|log_records)_\d{8}|_hyper_\d+_\d+_chunk)\b/g)].map(
          (m) => m[1],
        ),
      ).size;

    test("every function says what it is, and nobody is let in by default", async () => {
      const silent = await all`
        SELECT proname FROM pg_proc WHERE pronamespace = 'apm'::regnamespace AND obj_description(oid, 'pg_proc') IS NULL`;
      expect([...silent]).toEqual([]);
    });

    test.each([
      ["spans", "start_time"],
      ["span_events", "start_time"],
      ["logs", "time"],
      ["traces", "start_time"],
    ])(
      "a range of time reaches the chunks of apm.%s, for who sees everything and for who does not",
      async (view, column) => {
        for (const database of [everything, limited]) {
          expect(partsRead(await plan(database, `SELECT * FROM apm.${view}`))).toBeGreaterThan(25);
          const range = `${column} BETWEEN '2026-03-09 11:50+00' AND '2026-03-09 11:52+00'`;
          expect(partsRead(await executed(database, `SELECT * FROM apm.${view} WHERE ${range}`))).toBeWithin(
            1,
            3,
          );
        }
      },
    );

    test.each(["spans", "span_events", "logs", "traces"])(
      "a trace id, as 32 hex digits, becomes an index condition of apm.%s",
      async (view) => {
        for (const database of [everything, limited]) {
          const text = await plan(database, `SELECT * FROM apm.${view} WHERE trace_id = '${traceId}'`);
          expect(text.split("Index Cond: (trace_id = '").length).toBeGreaterThan(25);
          // Only what is empty is cheaper to read than its index.
          expect(text).not.toMatch(
            /Seq Scan on \S*(spans_|log_records_|_hyper_)\d+\S*( \w+)? +\(cost=\S+\.\.(?!0\.00)/,
          );
        }
      },
    );

    test("a service becomes an index condition", async () => {
      for (const database of [everything, limited]) {
        for (const [view, time] of [
          ["spans", "start_time"],
          ["logs", "time"],
        ]) {
          const text = await plan(
            database,
            `SELECT * FROM apm.${view} WHERE service_name = 'catalog' AND ${time} BETWEEN '2026-03-09 11:59+00' AND '2026-03-09 12:00+00'`,
          );
          expect(text).toMatch(/Index Cond: .*service_name = 'catalog'/);
        }
      }
    });

    if (engine === "timescaledb") {
      test.each(["service_red_1m", "endpoint_red_1h", "service_latency_1m", "log_counts_1h", "log_patterns"])(
        "a range of bucket reaches the chunks under apm.%s",
        async (view) => {
          for (const database of [everything, limited]) {
            expect(partsRead(await plan(database, `SELECT * FROM apm.${view}`))).toBeGreaterThan(25);
            const day = await plan(database, `SELECT * FROM apm.${view} WHERE bucket BETWEEN ${DAY}`);
            expect(partsRead(day)).toBeWithin(1, 3);
          }
        },
      );

      test("in the columnstore too, a trace id is looked up by its bloom filter", async () => {
        await all`SELECT public.compress_chunk(chunk) FROM public.show_chunks('timespan.spans', older_than => '2026-02-15'::timestamptz) AS chunk`;
        for (const database of [everything, limited]) {
          expect(await plan(database, `SELECT * FROM apm.spans WHERE trace_id = '${traceId}'`)).toContain(
            "bloom1_contains",
          );
        }
      });
    }

    test("trace completeness reads an hour at a time", async () => {
      const rows = await everything`
        SELECT bucket, trace_count::int, rooted_count::int, grade FROM apm.trace_completeness
        WHERE bucket >= '2026-03-09 11:00+00' ORDER BY bucket`;
      const [expected] = await all`
        SELECT count(*)::int AS traces, count(*) FILTER (WHERE rooted)::int AS rooted
        FROM (
          SELECT bool_or(parent_span_id IS NULL) AS rooted FROM timespan.spans
          WHERE start_time >= '2026-03-09 11:00+00' AND start_time < '2026-03-09 12:00+00' GROUP BY trace_id
        ) AS trace`;
      expect(rows[0]).toMatchObject({ trace_count: expected?.traces, rooted_count: expected?.rooted });
      const text = await executed(
        everything,
        "SELECT * FROM apm.trace_completeness WHERE bucket >= '2026-03-09 11:00+00'",
      );
      // The bounds of what is stored are looked up in the locator; of spans only the hour is read.
      const hypertable = engine === "timescaledb" ? "hyper_1_" : "spans_";
      const spansRead = text.split("\n").filter((line) => line.includes(hypertable));
      expect(partsRead(spansRead.join("\n"))).toBeWithin(1, 3);
    });

    test("spans speak the words of SQL", async () => {
      const [span] = await everything`
        SELECT * FROM apm.spans WHERE trace_id = ${traceId} AND is_root`;
      expect(span).toMatchObject({
        operation_name: "POST /checkout",
        span_kind: "SERVER",
        status_code: "OK",
        is_root: true,
        parent_span_id: null,
        error_message: null,
        resource: { "service.name": "storefront", "deployment.environment.name": "production" },
      });
      expect(span?.timestamp).toEqual(span?.start_time);
      expect(span?.duration_ms).toBeCloseTo(Number(span?.duration_us) / 1_000, 6);
      expect(span?.trace_id.replaceAll("-", "")).toBe(traceId);
    });

    test("a trace is the same in the view as in the function, which also has those without a root", async () => {
      const inView = await everything.unsafe(`
        SELECT * FROM apm.traces WHERE start_time >= '2026-03-09 11:00+00' AND start_time < '2026-03-09 12:00+00' ORDER BY trace_id`);
      const between = await everything`
        SELECT * FROM apm.traces_between('2026-03-09 11:00+00', '2026-03-09 12:00+00') ORDER BY trace_id`;
      expect(inView.length).toBeGreaterThan(1_000);
      expect(between.filter(({ root_span_id }) => root_span_id !== null)).toEqual([...inView]);
      const rootless = between.filter(({ root_span_id }) => root_span_id === null);
      expect(rootless.length).toBeGreaterThan(0);
      expect(rootless.every(({ complete, root_span_name }) => !complete && root_span_name === null)).toBe(
        true,
      );
      const incomplete = inView.filter(({ complete }) => !complete);
      expect(incomplete.length).toBeGreaterThan(0);
    });

    test("the tree of a trace has every span, children below their parents, and a critical path as long as the root", async () => {
      const traces = await everything.unsafe(`
        SELECT t.trace_id, t.span_count::int, t.root_duration_ms, tree.*
        FROM (
          SELECT * FROM apm.traces WHERE start_time BETWEEN '2026-03-09 11:30+00' AND '2026-03-09 11:40+00' AND complete
        ) AS t
        CROSS JOIN LATERAL (
          SELECT
            count(*)::int AS spans,
            sum(critical_ms) AS critical_ms,
            min(self_ms) AS self_ms_min,
            bool_and(critical_ms >= 0) AS never_negative,
            max(depth) AS depth_max,
            bool_and(path LIKE '%' || span_name) AS ends_with_itself,
            bool_and((depth = 0) = (parent_span_id IS NULL)) AS rooted
          FROM apm.trace_tree(t.trace_id)
        ) AS tree`);
      expect(traces.length).toBeGreaterThan(50);
      for (const trace of traces) {
        expect(trace.spans).toBe(trace.span_count);
        expect(trace.critical_ms).toBeCloseTo(trace.root_duration_ms, 3);
        expect(trace.self_ms_min).toBeGreaterThanOrEqual(0);
        expect(trace).toMatchObject({ never_negative: true, ends_with_itself: true, rooted: true });
      }
    });

    test("self time and critical path of a trace drawn by hand, one that is broken too", async () => {
      // Milliseconds:          0        10        20        30        40        50        60
      // 1 root                 [------------------------------------------------]
      // 2 first call           .[--------]
      // 3 beside it, longer    .[------------------]
      // 4 below 3              .   [------]
      // 5 after both           .                     [---------------]
      // 6 outlives the root    .                                       [---------------]
      // 7 consumer             .                                                     [----]
      // 8 parent is missing, 9 and 10 are each other's parent
      const spans: [id: number, parent: number | null, from: number, to: number][] = [
        [1, null, 0, 50],
        [2, 1, 1, 10],
        [3, 1, 1, 20],
        [4, 3, 4, 11],
        [5, 1, 22, 38],
        [6, 1, 40, 56],
        [7, 1, 54, 60],
        [8, 99, 5, 6],
        [9, 10, 7, 8],
        [10, 9, 7, 8],
      ];
      const id = crypto.randomUUID();
      for (const [spanId, parent, from, to] of [...spans, ...spans.slice(1, 3)]) {
        await all`
          INSERT INTO timespan.spans
            (start_time, duration_us, sample_weight, trace_id, span_id, parent_span_id, resource_id, source_offset, source_index,
             source_id, span_kind, status_code, duration_bin, service_name, environment, span_name, endpoint, attributes)
          VALUES ('2026-03-01 00:00+00'::timestamptz + ${from} * interval '1 ms', ${(to - from) * 1_000}, 1, ${id}, ${spanId}, ${parent}, 0, ${spanId}, 0,
             1, 1, 1, 0, 'hand', 'test', ${`s${spanId}`}, 's', '{}')`;
      }
      await all`
        INSERT INTO timespan.trace_locator VALUES ('2026-03-01 00:00+00', '2026-03-01 00:01+00', ${id})`;
      const rows = await all`
        SELECT span_name, depth, path, self_ms, is_critical, critical_ms FROM apm.trace_tree(${id})`;
      const told = rows.map((r) => `${r.path} ${r.depth} self ${r.self_ms} critical ${r.critical_ms}`);
      expect(told).toEqual([
        "s1 0 self 5 critical 5",
        "s1 > s2 1 self 9 critical null",
        "s1 > s3 1 self 12 critical 12",
        "s1 > s3 > s4 2 self 7 critical 7",
        "s1 > s5 1 self 16 critical 16",
        "s1 > s6 1 self 16 critical 10",
        "s1 > s7 1 self 6 critical null",
        "s8 0 self 1 critical null",
        "s9 0 self 0 critical null",
        "s10 0 self 0 critical null",
      ]);
      await all`DELETE FROM timespan.spans WHERE trace_id = ${id}`;
    });

    test("a trace in the columns of Grafana's trace panel, and its logs", async () => {
      const spans = await everything`SELECT * FROM apm.grafana_trace(${traceId})`;
      const [summary] =
        await everything`SELECT span_count::int AS n FROM apm.traces WHERE trace_id = ${traceId}`;
      expect(spans.length).toBe(summary?.n);
      expect(Object.keys(spans[0] ?? {})).toEqual([
        "traceID",
        "spanID",
        "parentSpanID",
        "operationName",
        "serviceName",
        "startTime",
        "duration",
        "tags",
        "serviceTags",
        "logs",
        "statusCode",
        "statusMessage",
      ]);
      expect(spans[0]).toMatchObject({
        traceID: traceId,
        parentSpanID: null,
        operationName: "POST /checkout",
        serviceName: "storefront",
        statusCode: 1,
        statusMessage: null,
      });
      expect(spans[0]?.startTime).toBeWithin(
        Date.parse("2026-03-09T10:30:00Z"),
        Date.parse("2026-03-09T11:30:00Z"),
      );
      expect(spans[0]?.tags).toContainEqual({ key: "http.request.method", value: "POST" });
      expect(spans[0]?.serviceTags).toContainEqual({ key: "service.name", value: "storefront" });
      const logs = await everything`SELECT * FROM apm.trace_logs(${traceId})`;
      const shown = spans.flatMap((span) => span.logs);
      expect(logs.length).toBeGreaterThan(0);
      expect(shown.length).toBe(logs.length);
      expect(shown[0]).toEqual({
        timestamp: expect.any(Number),
        fields: expect.arrayContaining([{ key: "level", value: "INFO" }]),
      });
      expect(logs[0]).toMatchObject({ span_name: expect.any(String), service_name: expect.any(String) });
    });

    test("both engines answer the same", async () => {
      const queries = [
        `SELECT * FROM apm.service_red_1m WHERE bucket BETWEEN ${WINDOW} ORDER BY bucket, service_name, environment`,
        `SELECT * FROM apm.service_red_1h WHERE bucket BETWEEN ${DAY} ORDER BY bucket, service_name, environment`,
        `SELECT * FROM apm.endpoint_red_1m WHERE bucket BETWEEN ${WINDOW} ORDER BY bucket, service_name, environment, endpoint`,
        `SELECT * FROM apm.endpoint_red_1h WHERE bucket BETWEEN ${DAY} ORDER BY bucket, service_name, environment, endpoint`,
        `SELECT * FROM apm.service_latency_1m WHERE bucket BETWEEN ${WINDOW} ORDER BY bucket, service_name, environment`,
        `SELECT * FROM apm.service_latency_1h WHERE bucket BETWEEN ${DAY} ORDER BY bucket, service_name, environment`,
        `SELECT * FROM apm.endpoint_latency_1h WHERE bucket BETWEEN ${DAY} ORDER BY bucket, service_name, environment, endpoint`,
        `SELECT * FROM apm.endpoint_latency_1m WHERE bucket BETWEEN ${WINDOW} AND service_name = 'catalog' ORDER BY bucket, service_name, environment, endpoint`,
        `SELECT * FROM apm.log_counts_1m WHERE bucket BETWEEN ${WINDOW} ORDER BY bucket, service_name, environment, level`,
        `SELECT bucket, service_name, environment, level, pattern, log_count FROM apm.log_patterns WHERE bucket BETWEEN ${DAY} ORDER BY bucket, service_name, environment, level, pattern`,
        `SELECT * FROM apm.service_edges_1m WHERE bucket BETWEEN ${WINDOW} ORDER BY bucket, service_name, environment, target_name, target_type`,
        `SELECT * FROM apm.service_edges_1h WHERE bucket BETWEEN ${DAY} ORDER BY bucket, service_name, environment, target_name, target_type`,
        `SELECT * FROM apm.dependency_health WHERE bucket BETWEEN ${DAY} ORDER BY bucket, service_name, environment, target_name, target_type`,
        "SELECT * FROM apm.downstream('storefront', '2026-03-09 11:00+00', '2026-03-09 12:00+00') ORDER BY name, type",
        "SELECT * FROM apm.upstream('catalog', '2026-03-09 11:00+00', '2026-03-09 12:00+00') ORDER BY name",
        "SELECT * FROM apm.grafana_edges('2026-03-09 11:00+00', '2026-03-09 12:00+00')",
        "SELECT * FROM apm.grafana_nodes('2026-03-09 11:00+00', '2026-03-09 12:00+00')",
        `SELECT * FROM apm.trace_completeness WHERE bucket BETWEEN ${DAY} ORDER BY bucket`,
        `SELECT * FROM apm.traces_between('2026-03-09 11:00+00', '2026-03-09 12:00+00') ORDER BY trace_id`,
        `SELECT * FROM apm.trace_tree('${traceId}')`,
        `SELECT * FROM apm.trace_logs('${traceId}')`,
        `SELECT * FROM apm.grafana_trace('${traceId}')`,
        `SELECT * FROM apm.spans WHERE start_time BETWEEN '2026-03-09 11:58+00' AND '2026-03-09 12:00+00' ORDER BY start_time, span_id`,
        `SELECT * FROM apm.logs WHERE time BETWEEN '2026-03-09 11:58+00' AND '2026-03-09 12:00+00' ORDER BY time, span_id, message`,
        "SELECT topic, partition, row_count, dead_letter_count FROM apm.ingest_ledger",
      ];
      for (const [login, database] of Object.entries({ everything, limited })) {
        for (const query of queries) {
          const answer = JSON.stringify(await database.unsafe(query));
          expect([query, answer.length > 2 || login === "limited"]).toEqual([query, true]);
          const key = `${login}: ${query}`;
          expect([query, answers.get(key) ?? answer]).toEqual([query, answer]);
          answers.set(key, answer);
        }
      }
    });

    describe("an analyst with limits", () => {
      test("sees in every view and function only rows of its environments and services", async () => {
        const columns = await all<{ view: string; columns: string[] }[]>`
          SELECT table_name AS view, array_agg(column_name::text) AS columns
          FROM information_schema.columns WHERE table_schema = 'apm' GROUP BY table_name ORDER BY table_name`;
        for (const { view, columns: names } of columns) {
          const pick = (column: string) => (names.includes(column) ? column : "NULL::text");
          const seen = await limited.unsafe(
            `SELECT DISTINCT ${pick("environment")} AS environment, ${pick("service_name")} AS service_name FROM apm.${view}`,
          );
          for (const row of seen) {
            expect([view, "production", null]).toContain(row.environment);
            expect([view, "storefront", "catalog", null]).toContain(row.service_name);
          }
        }
        for (const call of [
          `trace_tree('${traceId}')`,
          `trace_logs('${traceId}')`,
          "traces_between('2026-03-09 11:00+00', '2026-03-09 12:00+00')",
        ]) {
          const seen = await limited.unsafe(`SELECT DISTINCT environment, service_name FROM apm.${call}`);
          expect(seen.length).toBeGreaterThan(0);
          for (const row of seen) {
            expect(["production"]).toContain(row.environment);
            expect(["storefront", "catalog", null]).toContain(row.service_name);
          }
        }
        const panel = await limited`SELECT DISTINCT "serviceName" AS name FROM apm.grafana_trace(${traceId})`;
        expect(panel.map(({ name }) => name)).toEqual(["storefront"]);
        const [services] = await limited`
          SELECT array_agg(DISTINCT name ORDER BY name) AS names FROM apm.traces CROSS JOIN unnest(services) AS name
          WHERE start_time BETWEEN '2026-03-09 11:00+00' AND '2026-03-09 11:10+00'`;
        expect(services?.names).toEqual(["catalog", "storefront"]);
      });

      test("counts what the table holds of them, no less", async () => {
        const [seen] = await limited`SELECT count(*)::int FROM apm.spans`;
        const [held] = await all`
          SELECT count(*)::int FROM timespan.spans WHERE environment = 'production' AND service_name IN ('storefront', 'catalog')`;
        expect(seen).toEqual(held);
        const [rolledUp] = await limited`SELECT sum(request_count)::int AS count FROM apm.service_red_1h`;
        const [requests] = await all`
          SELECT count(*)::int FROM timespan.spans
          WHERE environment = 'production' AND service_name IN ('storefront', 'catalog') AND span_kind = 2`;
        expect(rolledUp).toEqual(requests);
      });

      test("sees an edge of the service map where it may see the caller, and counts it whole", async () => {
        const held = await all`
          SELECT target_name, target_type, sum(call_count)::int AS calls FROM timespan.service_edge_latency_bins_1h
          WHERE environment = 'production' AND service_name IN ('storefront', 'catalog') GROUP BY 1, 2 ORDER BY 1, 2`;
        expect(held.length).toBeGreaterThan(5);
        for (const view of ["service_edges_1m", "service_edges_1h"]) {
          const seen = await limited.unsafe(
            `SELECT target_name, target_type, sum(call_count)::int AS calls FROM apm.${view} GROUP BY 1, 2 ORDER BY 1, 2`,
          );
          expect<unknown[]>([...seen]).toEqual([...held]);
        }
        const window = "'2026-03-09 11:00+00', '2026-03-09 12:00+00'";
        const ends = await limited.unsafe(
          `SELECT DISTINCT source FROM apm.grafana_edges(${window}) ORDER BY 1`,
        );
        expect(ends.map(({ source }) => source)).toEqual(["service:catalog", "service:storefront"]);
        // Two steps away only by way of a service that it may see.
        const reached = await limited.unsafe(
          `SELECT name FROM apm.downstream('storefront', ${window}) EXCEPT SELECT target_name FROM apm.service_edges_1h`,
        );
        expect([...reached]).toEqual([]);
        const hidden = await limited.unsafe(
          `SELECT name FROM apm.downstream('checkout', ${window})
           UNION ALL SELECT name FROM apm.downstream('storefront', ${window}, 'staging')
           UNION ALL SELECT name FROM apm.upstream('payment', ${window})
           UNION ALL SELECT id FROM apm.grafana_edges(${window}, 'staging')
           UNION ALL SELECT id FROM apm.grafana_nodes(${window}, 'staging')`,
        );
        expect([...hidden]).toEqual([]);
        const strangers = await limited.unsafe(
          `SELECT title FROM apm.grafana_nodes(${window}) WHERE id NOT IN ('service:storefront', 'service:catalog')
           AND id NOT IN (SELECT target FROM apm.grafana_edges(${window}))`,
        );
        expect([...strangers]).toEqual([]);
      });

      test("is told of retention what was promised for its environments, and nothing of rows it may not see", async () => {
        await saveStorageSettings(all, {
          ...STORAGE_DEFAULTS,
          // Whatever today is, the month of the test is not past it.
          retentionSpansMs: 10_000 * DAY_MS,
          retentionByEnvironment: [
            { signal: "spans", environmentKey: "production", retentionMs: 3_000 * DAY_MS },
            { signal: "spans", environmentKey: "staging", retentionMs: 2_000 * DAY_MS },
          ],
        });
        const status = async (database: Database) => {
          const rows = await database`
            SELECT environment, extract(epoch FROM retention) / 86400 AS days, oldest_time IS NOT NULL AS has_time, size_bytes IS NOT NULL AS has_size
            FROM apm.retention_status WHERE relation = 'spans' ORDER BY environment NULLS FIRST`;
          return rows.map((row) => `${row.environment} ${Number(row.days)} ${row.has_time} ${row.has_size}`);
        };
        expect(await status(everything)).toEqual([
          "null 10000 true true",
          "production 3000 true false",
          "staging 2000 true false",
        ]);
        expect(await status(limited)).toEqual(["null 10000 false false", "production 3000 false false"]);
        const ofEnvironment = await analyst(["production"], null);
        expect(await status(ofEnvironment)).toEqual(["null 10000 false false", "production 3000 true false"]);
        const ofService = await analyst(null, ["catalog"]);
        expect(await status(ofService)).toEqual([
          "null 10000 false false",
          "production 3000 false false",
          "staging 2000 false false",
        ]);
        await expect(
          Promise.resolve(limited`SELECT count(*) FROM apm.retention_status WHERE environment::int > 0`),
        ).rejects.toThrow('invalid input syntax for type integer: "production"');
      });

      test("learns nothing of hidden rows from a function that tells what it is given", async () => {
        // A cast tells the value that it cannot read. With a barrier it is only ever given rows that may be seen.
        for (const [view, column] of [
          ["spans", "service_name"],
          ["spans", "span_name"],
          ["logs", "message"],
          ["service_red_1h", "service_name"],
          ["log_patterns", "pattern"],
        ]) {
          const attempt = limited.unsafe(
            `SELECT count(*) FROM apm.${view} WHERE CASE WHEN environment = 'production' AND service_name IN ('storefront', 'catalog') THEN true ELSE ${column}::int > 0 END`,
          );
          await expect(attempt.then(([row]) => Number(row?.count) > 0)).resolves.toBe(true);
        }
        const everyName = limited`SELECT count(*) FROM apm.spans WHERE service_name::int > 0`;
        await expect(everyName).rejects.toThrow(
          /invalid input syntax for type integer: "(storefront|catalog)"/,
        );
      });

      test("nothing that it can set changes what it sees", async () => {
        await limited.reserve().then(async (session) => {
          await session`SET row_security = off`;
          await session`SET default_transaction_read_only = off`;
          await session`SET ROLE timespan_analyst`;
          const seen = await session`SELECT DISTINCT environment FROM apm.spans`;
          expect(seen.map(({ environment }) => environment)).toEqual(["production"]);
          await session`RESET ROLE`;
          session.release();
        });
        // PostgreSQL lets everybody lengthen a timeout that a role was given: connections and temporary files it enforces.
        const [limits] = await limited`
          SELECT rolconnlimit AS connections, current_setting('temp_file_limit') AS temp, current_setting('work_mem') AS work
          FROM pg_roles WHERE rolname = current_user`;
        expect(limits).toEqual({ connections: 5, temp: "2GB", work: "32MB" });
        await expect(limited`SET temp_file_limit = -1`).rejects.toThrow("permission denied");
      });
    });

    test.each([
      "SELECT * FROM timespan.spans",
      "SELECT * FROM timespan.visible_spans",
      "SELECT * FROM timespan.restricted_spans",
      "SELECT * FROM timespan.service_red_1m",
      "SELECT * FROM timespan.analyst_access",
      "SELECT * FROM timespan.api_keys",
      "SELECT timespan.session_access()",
      "SELECT * FROM timespan.trace_spans('00000000-0000-0000-0000-000000000001')",
      "SET ROLE timespan_reader",
      "SET ROLE timespan_owner",
      "SET SESSION AUTHORIZATION timespan_owner",
      "INSERT INTO apm.spans (service_name) VALUES ('x')",
      "DELETE FROM apm.logs",
      "UPDATE apm.spans SET service_name = 'x'",
      "CREATE TABLE public.mine (a int)",
      "CREATE TABLE apm.mine (a int)",
      "CREATE TEMP TABLE mine (a int)",
      "CREATE FUNCTION pg_temp.tell(text) RETURNS boolean LANGUAGE sql COST 0.0001 AS 'SELECT true'",
      "CREATE SCHEMA mine",
      "COPY apm.spans TO PROGRAM 'cat'",
      "COPY apm.spans TO '/tmp/stolen'",
      "SELECT pg_read_file('PG_VERSION')",
      "SELECT pg_ls_dir('.')",
      "SELECT * FROM pg_authid",
      "ALTER ROLE timespan_analyst SUPERUSER",
      "SELECT lo_import('/etc/passwd')",
      "SELECT lo_create(0)",
      "SELECT lo_from_bytea(0, 'x')",
      ...(engine === "timescaledb"
        ? [
            "SELECT public.add_job('pg_sleep', '1 second')",
            'CALL _timescaledb_functions.policy_retention(1, \'{"hypertable_id": 1, "drop_after": "1 hour"}\')',
            "SELECT public.drop_chunks('timespan.spans', now())",
            "SELECT public.create_hypertable('apm.spans', 'start_time')",
          ]
        : []),
    ])("an analyst may not: %s", async (statement) => {
      for (const database of [everything, limited]) {
        const attempt = database.begin(async (transaction) => {
          await transaction.unsafe("SET TRANSACTION READ WRITE");
          await transaction.unsafe(statement);
        });
        await expect(attempt).rejects.toThrow(
          /permission denied|must be (owner|superuser)|cannot (insert|delete|update)/,
        );
      }
    });

    if (engine === "timescaledb") {
      test("an analyst reads none of TimescaleDB's own tables of rows", async () => {
        const tables = await all<{ name: string }[]>`
          SELECT format('%I.%I', nspname, relname) AS name
          FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
          WHERE nspname = '_timescaledb_internal' AND relkind IN ('r', 'v') AND relname ~ '_hyper_|_materialized_hypertable|_partial_view|_direct_view'`;
        expect(tables.length).toBeGreaterThan(50);
        for (const { name } of [...tables.slice(0, 20), ...tables.slice(-20)]) {
          await expect(limited.unsafe(`SELECT * FROM ${name} LIMIT 1`)).rejects.toThrow("permission denied");
        }
      });
    }

    test("what is not said to be visible is refused: a login that was made by hand, or for another database", async () => {
      const name = `hand_${crypto.randomUUID().slice(0, 8)}`;
      await all.unsafe(`CREATE ROLE ${name} LOGIN PASSWORD 'x'; GRANT timespan_analyst TO ${name}`);
      const url = new URL(created.url);
      url.username = name;
      url.password = "x";
      const database = openDatabase({
        url: url.href,
        applicationName: "test",
        poolMax: 1,
        statementTimeoutMs: 5_000,
      });
      for (const view of [
        "spans",
        "logs",
        "service_red_1m",
        "ingest_ledger",
        "log_patterns",
        "service_edges_1h",
        "dependency_health",
        "retention_status",
      ]) {
        await expect(database.unsafe(`SELECT * FROM apm.${view}`)).rejects.toThrow(
          `it is not known which rows ${name} may see`,
        );
      }
      await closeDatabase(database);
      await all.unsafe(`DROP ROLE ${name}`);
    });

    test("writer and reader keep to their part", async () => {
      const refused: [role: string, statement: string][] = [
        ["timespan_writer", "SELECT * FROM timespan.spans"],
        ["timespan_writer", "SELECT * FROM apm.spans"],
        ["timespan_writer", "DELETE FROM timespan.spans"],
        ["timespan_writer", "SELECT * FROM timespan.analyst_access"],
        ["timespan_reader", "INSERT INTO timespan.analyst_access (role_name) VALUES ('timespan_reader')"],
        ["timespan_reader", "DELETE FROM timespan.spans"],
        ["timespan_reader", "CREATE TABLE timespan.mine (a int)"],
        ["timespan_reader", "SELECT * FROM timespan.analyst_access"],
      ];
      for (const [role, statement] of refused) {
        const attempt = all.begin(async (transaction) => {
          await transaction.unsafe(`SET LOCAL ROLE ${role}`);
          await transaction.unsafe(statement);
        });
        await expect(attempt).rejects.toThrow("permission denied");
      }
      const [read] = await all.begin(async (transaction) => {
        await transaction.unsafe("SET LOCAL ROLE timespan_reader");
        return transaction`SELECT count(*)::int FROM apm.service_red_1h`;
      });
      expect(read?.count).toBeGreaterThan(0);
    });

    test("a dropped analyst is gone with its session, and other roles cannot be dropped so", async () => {
      const database = await analyst(null, null);
      const login = logins.at(-1)?.name ?? "";
      await database`SELECT 1`;
      expect(await dropAnalyst(all, login)).toBe(true);
      await expect(Promise.resolve(database`SELECT 1`)).rejects.toThrow(
        /terminating connection|CONNECTION_|does not exist|authentication failed/,
      );
      expect(await dropAnalyst(all, login)).toBe(false);
      expect(await dropAnalyst(all, "timespan_reader")).toBe(false);
      expect(
        await createAnalyst(all, { name: "timespan_reader", access: { environments: null, services: null } }),
      ).toBeUndefined();
    });
  });
}
