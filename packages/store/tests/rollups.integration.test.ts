import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { decodeLogEvent } from "@timespan/telemetry/wire/decode-log-event";
import { decodeSpanEvent } from "@timespan/telemetry/wire/decode-span-event";
import { logEvent, spanEvent, uniqueName } from "@timespan/testing/events";
import { TestBatch } from "@timespan/testing/test-batch";
import {
  applyStorage,
  createTestDatabase,
  openAsSuperuser,
  type TestDatabase,
} from "@timespan/testing/test-database";
import { testEngines } from "@timespan/testing/test-environment";
import type { LogEvent, SpanEvent } from "@timespan/testing/workload/events";
import { closeDatabase, type Database, openDatabase } from "../src/database.ts";
import { openPartition } from "../src/ingest/open-partition.ts";
import { writeBatch } from "../src/ingest/write-batch.ts";
import { readRollupWatermarks } from "../src/query/stored-rollups.ts";
import { maintainRollups } from "../src/storage/maintain-rollups.ts";
import { moveLateRows } from "../src/storage/move-late-rows.ts";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
/** Whole hours of the same two days on both engines, so that their rows can be compared. */
const NOW_MS = Date.now();
const HOUR_START_MS = Math.floor(NOW_MS / HOUR_MS) * HOUR_MS;

const STORAGE = {
  retentionSpansMs: 48 * HOUR_MS,
  retentionLogsMs: 48 * HOUR_MS,
  chunkIntervalMs: HOUR_MS,
};
const ROLLUPS = { lateAfterMs: 30 * MINUTE_MS, refreshIntervalMs: 30_000, refreshDelayMs: 2 * MINUTE_MS };
/** How often the stream-processor moves late rows; see its `main.ts`. */
const MOVE_LATE_ROWS_INTERVAL_MS = 20_000;

const KEYS = {
  endpoint_latency_bins: "service_name, environment, endpoint, span_kind, duration_bin",
  endpoint_red: "service_name, environment, endpoint, span_kind",
  service_latency_bins: "service_name, environment, span_kind, duration_bin",
  service_red: "service_name, environment, span_kind",
  log_counts: "service_name, environment, severity_number, pattern_id",
};
const LEVELS = { "1m": "1 minute", "10m": "10 minutes", "1h": "1 hour" };
/** Every rollup, with the raw rows that make up one of its rows. */
const ROLLUPS_BY_NAME = Object.entries(KEYS).flatMap(([kind, key]) =>
  Object.entries(LEVELS)
    .filter(([level]) => level !== "10m" || kind.startsWith("service"))
    .map(([level, bucket]) => ({ name: `${kind}_${level}`, isOfLogs: kind === "log_counts", key, bucket })),
);

/** What was read from the engine before, by rollup. */
const seen = new Map<string, unknown>();

for (const { engine, present } of testEngines()) {
  describe.skipIf(!present)(`rollups on ${engine}`, () => {
    let created: TestDatabase;
    let writer: Database;
    let all: Database;

    beforeAll(async () => {
      created = await createTestDatabase(engine);
      writer = openDatabase({
        url: created.url,
        role: "timespan_writer",
        applicationName: "test",
        poolMax: 2,
        statementTimeoutMs: 30_000,
      });
      all = openAsSuperuser(created.url);
      await applyStorage(writer, STORAGE);
      if (engine === "timescaledb") await driveJobsByHand();
    });
    afterAll(async () => {
      await Promise.all([closeDatabase(writer), closeDatabase(all)]);
      await created.drop();
    });

    /** Makes the jobs, and keeps the scheduler from running them beside the test. */
    async function driveJobsByHand(storage = STORAGE): Promise<void> {
      await applyStorage(writer, storage);
      await maintainRollups(writer, ROLLUPS);
      await all`SELECT alter_job(job_id, scheduled => false) FROM timescaledb_information.jobs WHERE job_id >= 1000`;
    }

    async function runJobs(procedure: string): Promise<void> {
      const jobs = await all<{ job_id: number }[]>`
        SELECT job_id FROM timescaledb_information.jobs WHERE proc_name = ${procedure}`;
      for (const { job_id } of jobs) await all`CALL run_job(${job_id})`;
    }
    const refresh = () => (engine === "timescaledb" ? runJobs("refresh_rollups") : undefined);

    /** Stores events as the stream-processor does: those before `lateBeforeMs` are staged. */
    async function store(events: readonly (SpanEvent | LogEvent)[], lateBeforeMs = 0): Promise<void> {
      const topic = uniqueName("topic");
      const { sourceId } = await openPartition(writer, topic, 0, { low: 0, high: events.length });
      const rows = events.map((event, offset) => ({ event, source: { offset, index: 0 } }));
      const bytes = (event: object) => Buffer.from(JSON.stringify(event));
      const batch = new TestBatch({
        topic,
        partition: 0,
        sourceId,
        startOffset: 0,
        endOffset: events.length,
        lateBeforeUs: lateBeforeMs * 1_000,
        spans: rows.flatMap(({ event, source }) => {
          if (event.type !== "span") return [];
          const decoded = decodeSpanEvent(bytes(event), 0);
          if (!decoded.ok) throw new Error(decoded.rejection.detail);
          return [{ span: decoded.value, source }];
        }),
        logs: rows.flatMap(({ event, source }) => {
          if (event.type !== "log") return [];
          const decoded = decodeLogEvent(bytes(event), 0);
          if (!decoded.ok) throw new Error(decoded.rejection.detail);
          return [{ log: decoded.value, source }];
        }),
      });
      await writeBatch(writer, batch);
    }

    const read = (name: string, key: string, service: string) =>
      all.unsafe(`SELECT * FROM timespan.${name} WHERE service_name LIKE $1 ORDER BY bucket, ${key}`, [
        `${service}%`,
      ]);

    test("every rollup is what its raw rows add up to, before it was refreshed and after", async () => {
      const service = "rolled-up";
      const events = manyEvents(service);
      await store(events);
      for (const when of ["live", "refreshed"]) {
        if (when === "refreshed") await refresh();
        for (const { name, isOfLogs, key, bucket } of ROLLUPS_BY_NAME) {
          const time = isOfLogs ? "time" : "start_time";
          const expected = await all.unsafe(
            `SELECT date_bin($1, ${time}, TIMESTAMPTZ '2000-01-01 00:00:00+00') AS bucket, ${key}, ${
              isOfLogs
                ? "count(*)::float8 AS log_count"
                : `sum(sample_weight) AS span_count,
                   sum(CASE WHEN status_code = 2 THEN sample_weight ELSE 0 END) AS error_count,
                   sum(duration_us * sample_weight) AS duration_us_sum,
                   max(duration_us) AS duration_us_max,
                   sum(CASE WHEN status_code <> 2 AND duration_us <= 500000 THEN sample_weight ELSE 0 END) AS apdex_satisfied_count,
                   sum(CASE WHEN status_code <> 2 AND duration_us > 500000 AND duration_us <= 2000000 THEN sample_weight ELSE 0 END) AS apdex_tolerating_count`
            }
             FROM timespan.${isOfLogs ? "log_records" : "spans"} WHERE service_name LIKE $2
             GROUP BY 1, ${key} ORDER BY 1, ${key}`,
            [bucket, `${service}%`],
          );
          const rows = await read(name, key, service);
          expect(rows.length).toBeGreaterThan(0);
          // A rollup of bins has fewer columns than what can be said of the raw rows.
          const columns = Object.keys(rows[0] ?? {});
          const picked = expected.map((row) =>
            Object.fromEntries(columns.map((column) => [column, row[column]])),
          );
          expect<unknown>({ name, when, rows: [...rows] }).toEqual({ name, when, rows: picked });
          // Both engines, row for row.
          const before = seen.get(name);
          if (before === undefined) seen.set(name, [...rows]);
          else expect([...rows]).toEqual(before as typeof rows);
        }
      }
    });

    test("what is stored of a rollup are its rows up to the watermark", async () => {
      const watermarks = await all<{ rollup: string; until: string; is_past: boolean }[]>`
        SELECT rollup, stored_until::text AS until, stored_until < now() - INTERVAL '2 minutes' AS is_past
        FROM timespan.rollup_watermarks()
        WHERE rollup NOT LIKE 'service\\_edge\\_%'`;
      expect(watermarks.map(({ rollup }) => rollup).sort()).toEqual(
        ROLLUPS_BY_NAME.map(({ name }) => name).sort(),
      );
      for (const { rollup, until, is_past } of watermarks) {
        const rows = async (relation: string, condition: string) =>
          (await all.unsafe(`SELECT * FROM timespan.${relation} WHERE ${condition}`))
            .map((row) => JSON.stringify(row))
            .sort();
        expect({ rollup, is_past }).toEqual({ rollup, is_past: true });
        const stored = await rows(`${rollup}_stored`, "true");
        expect(stored).toEqual(await rows(rollup, `bucket < '${until}'`));
        expect(stored.length > 0).toBe(engine === "timescaledb");
      }
    });

    test("a sampled span counts for as many as it stands for, at every level", async () => {
      const service = uniqueName("sampled");
      const at = new Date(HOUR_START_MS - 5 * HOUR_MS).toISOString();
      await store([
        spanEvent({ service_name: service, timestamp: at, labels: { sample_rate: 100 } }),
        spanEvent({ service_name: service, timestamp: at, labels: { sample_rate: 0.4 }, status: "ERROR" }),
        spanEvent({ service_name: service, timestamp: at, labels: {} }),
      ]);
      await refresh();
      for (const { name, isOfLogs } of ROLLUPS_BY_NAME) {
        if (isOfLogs) continue;
        const [row] = await all.unsafe(
          `SELECT sum(span_count) AS spans, sum(error_count) AS errors FROM timespan.${name} WHERE service_name = $1`,
          [service],
        );
        expect<unknown>({ name, ...row }).toEqual({ name, spans: 103.5, errors: 2.5 });
      }
    });

    test("logs are counted by severity and pattern", async () => {
      const service = uniqueName("logged");
      const at = new Date(HOUR_START_MS - 5 * HOUR_MS + 1_000).toISOString();
      const log = (level: LogEvent["level"], message: string) =>
        logEvent({ service_name: service, timestamp: at, level, message });
      await store([
        log("INFO", "order 17 placed"),
        log("INFO", "order 18 placed"),
        log("WARN", "order 19 placed"),
        log("INFO", "order lost"),
      ]);
      await refresh();
      for (const name of ["log_counts_1m", "log_counts_1h"]) {
        const rows = await all.unsafe(
          `SELECT pattern, severity_number, log_count FROM timespan.${name} JOIN timespan.log_patterns USING (pattern_id)
           WHERE service_name = $1 ORDER BY 1, 2`,
          [service],
        );
        expect<unknown[]>([...rows]).toEqual([
          { pattern: "order <*> placed", severity_number: 9, log_count: 2 },
          { pattern: "order <*> placed", severity_number: 13, log_count: 1 },
          { pattern: "order lost", severity_number: 9, log_count: 1 },
        ]);
      }
    });

    test("late rows are in every rollup once they were moved and the job ran: within a minute", async () => {
      const service = uniqueName("late");
      const hoursAgo = (hours: number, kind: "span" | "log") => {
        const timestamp = new Date(NOW_MS - hours * HOUR_MS).toISOString();
        return kind === "span"
          ? spanEvent({ service_name: service, timestamp, duration_ms: 7 })
          : logEvent({ service_name: service, timestamp });
      };
      const both = (hours: number) => [hoursAgo(hours, "span"), hoursAgo(hours, "log")];
      await store([3, 9, 30].flatMap(both));
      await refresh();
      await store([3, 9, 20, 30, 40].flatMap(both), NOW_MS - HOUR_MS);
      await moveLateRows(writer);
      await refresh();
      for (const { name, isOfLogs } of ROLLUPS_BY_NAME) {
        const [row] = await all.unsafe(
          `SELECT sum(${isOfLogs ? "log_count" : "span_count"}) AS count FROM timespan.${name} WHERE service_name = $1`,
          [service],
        );
        expect<unknown>({ name, ...row }).toEqual({ name, count: 8 });
      }
      if (engine === "timescaledb") {
        const [job] = await all`
          SELECT extract(epoch FROM schedule_interval)::float8 AS seconds FROM timescaledb_information.jobs
          WHERE proc_name = 'refresh_rollups'`;
        expect(job?.seconds * 1_000 + MOVE_LATE_ROWS_INTERVAL_MS).toBeLessThan(MINUTE_MS);
      }
    });

    if (engine === "timescaledb") {
      test("after retention dropped the raw rows the rollups hold, whatever is refreshed later", async () => {
        const service = uniqueName("kept");
        const [oldMs, keptMs] = [NOW_MS - 30 * HOUR_MS, NOW_MS - 4 * HOUR_MS];
        const at = (ms: number) => [
          spanEvent({ service_name: service, timestamp: new Date(ms).toISOString() }),
          logEvent({ service_name: service, timestamp: new Date(ms).toISOString() }),
        ];
        await store([...at(oldMs), ...at(keptMs)]);
        await refresh();
        const shorter = { ...STORAGE, retentionSpansMs: 12 * HOUR_MS, retentionLogsMs: 12 * HOUR_MS };
        try {
          await driveJobsByHand(shorter);
          // Changes that lie in what is about to be dropped, and have not been refreshed.
          await store([oldMs + 1, oldMs + MINUTE_MS, keptMs + 1].flatMap(at));
          await runJobs("policy_retention");
          const [raw] =
            await all`SELECT count(*)::int AS count FROM timespan.spans WHERE service_name = ${service}`;
          expect(raw?.count).toBe(2);
          await refresh();
          await store(at(keptMs + 2));
          await refresh();
          for (const { name, isOfLogs } of ROLLUPS_BY_NAME) {
            const rows = await all.unsafe(
              `SELECT bucket < now() - INTERVAL '12 hours' AS dropped, sum(${isOfLogs ? "log_count" : "span_count"}) AS count
               FROM timespan.${name} WHERE service_name = $1 GROUP BY 1 ORDER BY 1`,
              [service],
            );
            expect<unknown>({ name, rows: [...rows] }).toEqual({
              name,
              rows: [
                { dropped: false, count: 3 },
                { dropped: true, count: 1 },
              ],
            });
          }
        } finally {
          await driveJobsByHand();
        }
      });

      test("hours and ten minutes are in the columnstore as soon as an hour is stored", async () => {
        const rowstore = await all`
          SELECT view_name FROM timescaledb_information.chunks AS chunk
          JOIN timescaledb_information.continuous_aggregates AS rollup
            ON rollup.materialization_hypertable_name = chunk.hypertable_name
          WHERE view_name ~ '_(10m|1h)$' AND chunk.range_end > now() AND NOT chunk.is_compressed`;
        expect([...rowstore]).toEqual([]);
      });

      test("what requests are read from is stored, also where rollups of something else are not yet", async () => {
        const [ofRequests] = await all`
          SELECT (extract(epoch FROM min(stored_until)) * 1000000)::float8 AS hours
          FROM timespan.rollup_watermarks() WHERE rollup ~ '^service_(red|latency_bins)_1h$'`;
        const { service, endpoint } = await readRollupWatermarks(all);
        expect<unknown>(service["1h"]).toBe(ofRequests?.hours);
        expect(Object.keys(service).sort()).toEqual(["10m", "1h", "1m"]);
        expect(Object.keys(endpoint).sort()).toEqual(["1h", "1m"]);
        const oldest = Math.min(...Object.values(service), ...Object.values(endpoint));
        expect(oldest).toBeGreaterThan((Date.now() - 3 * HOUR_MS) * 1_000);
      });

      test("one job refreshes all, its settings are those that were given, and giving them again changes nothing", async () => {
        const jobs = () => all`
          SELECT job_id, proc_name, schedule_interval::text, retry_period::text, config, hypertable_name, owner::text
          FROM timescaledb_information.jobs WHERE job_id >= 1000 ORDER BY job_id`;
        await driveJobsByHand();
        const before = await jobs();
        expect(before.filter(({ proc_name }) => proc_name === "refresh_rollups")).toMatchObject([
          {
            schedule_interval: "00:00:30",
            owner: "timespan_owner",
            config: { delay: "00:02:00", hour_delay: "00:30:00" },
          },
        ]);
        // Each rollup, service edges by minute and hour, spans, log_records and trace_locator.
        expect(before.filter(({ proc_name }) => proc_name === "policy_compression")).toHaveLength(
          ROLLUPS_BY_NAME.length + 5,
        );
        const retries = before.filter(
          ({ proc_name, retry_period }) => proc_name === "policy_compression" && retry_period === "00:01:00",
        );
        // Each rollup, and service edges by the hour.
        expect(retries).toHaveLength(ROLLUPS_BY_NAME.length + 1);
        await driveJobsByHand();
        expect([...(await jobs())]).toEqual([...before]);
      });
    }
  });
}

/** Spans and logs of two services over four hours that differ in all that rollups tell apart. */
function manyEvents(service: string): (SpanEvent | LogEvent)[] {
  const kinds = ["SERVER", "CLIENT", "INTERNAL"] as const;
  const durations = [0, 0.001, 0.4, 12.345, 12.346, 500, 500.001, 2_000, 2_000.001, 90_000];
  const weights = [1, 1, 1, 2.5, 100];
  return Array.from({ length: 400 }, (_, n) => {
    const timestamp = new Date(HOUR_START_MS - 4 * HOUR_MS + n * 36_100).toISOString();
    const common = {
      service_name: `${service}-${n % 2}`,
      environment: n % 3 === 0 ? "staging" : "production",
      timestamp,
    };
    return [
      spanEvent({
        ...common,
        name: `GET /endpoint-${n % 5}`,
        http_path: `/endpoint-${n % 5}`,
        http_method: "GET",
        kind: kinds[n % 3] ?? "SERVER",
        duration_ms: durations[n % 10] ?? 1,
        status: n % 7 === 0 ? "ERROR" : n % 7 === 1 ? "UNSET" : "OK",
        labels: { sample_rate: weights[n % 5] ?? 1 },
      }),
      logEvent({
        ...common,
        level: n % 4 === 0 ? "ERROR" : "INFO",
        message: `statement ${"abc"[n % 3]} ran ${n} ms`,
      }),
    ];
  }).flat();
}
