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
import { closeDatabase, type Database, openDatabase } from "../src/database.ts";
import { openPartition } from "../src/ingest/open-partition.ts";
import { writeBatch } from "../src/ingest/write-batch.ts";
import { moveLateRows } from "../src/storage/move-late-rows.ts";

const HOUR_MS = 3_600_000;

for (const { engine, present } of testEngines()) {
  describe.skipIf(!present)(`late rows on ${engine}`, () => {
    let created: TestDatabase;
    let writer: Database;
    let all: Database;

    beforeAll(async () => {
      created = await createTestDatabase(engine);
      writer = openDatabase({
        url: created.url,
        role: "timespan_writer",
        applicationName: "test",
        poolMax: 4,
        statementTimeoutMs: 30_000,
      });
      all = openAsSuperuser(created.url);
    });
    afterAll(async () => {
      await Promise.all([closeDatabase(writer), closeDatabase(all)]);
      await created.drop();
    });

    /** Writes a span and a log for each of `agesHours`; what is older than an hour is late. */
    async function write(service: string, agesHours: readonly number[]) {
      const topic = uniqueName("topic");
      const { sourceId } = await openPartition(writer, topic, 0, { low: 0, high: 1_000 });
      const at = (hours: number) => new Date(Date.now() - hours * HOUR_MS).toISOString();
      const encode = (event: object) => Buffer.from(JSON.stringify(event));
      const batch = new TestBatch({
        topic,
        partition: 0,
        sourceId,
        startOffset: 0,
        endOffset: 1_000,
        lateBeforeUs: (Date.now() - HOUR_MS) * 1_000,
        spans: agesHours.map((hours, offset) => {
          const decoded = decodeSpanEvent(
            encode(spanEvent({ service_name: service, timestamp: at(hours), name: `span ${offset}` })),
            0,
          );
          if (!decoded.ok) throw new Error(decoded.rejection.detail);
          return { span: decoded.value, source: { offset, index: 0 } };
        }),
        logs: agesHours.map((hours, offset) => {
          const decoded = decodeLogEvent(
            encode(logEvent({ service_name: service, timestamp: at(hours) })),
            0,
          );
          if (!decoded.ok) throw new Error(decoded.rejection.detail);
          return { log: decoded.value, source: { offset, index: 1 } };
        }),
      });
      return writeBatch(writer, batch);
    }

    const counts = async (service: string) =>
      (
        await all`
          SELECT (SELECT count(*)::int FROM timespan.spans WHERE service_name = ${service}) AS spans,
                 (SELECT count(*)::int FROM timespan.log_records WHERE service_name = ${service}) AS logs,
                 (SELECT count(*)::int FROM timespan.late_spans WHERE service_name = ${service}) AS late_spans,
                 (SELECT count(*)::int FROM timespan.late_log_records WHERE service_name = ${service}) AS late_logs`
      )[0];

    test("rows that come late are staged with the offset, and moved once, whole", async () => {
      const service = uniqueName("svc");
      const ages = [0, 0.5, 2, 3, 30, 31, 100];
      expect(await write(service, ages)).toMatchObject({
        outcome: "written",
        rowCount: 14,
        lateRowCount: 10,
      });
      expect(await counts(service)).toEqual({ spans: 2, logs: 2, late_spans: 5, late_logs: 5 });
      const before =
        await all`SELECT * FROM timespan.late_spans WHERE service_name = ${service} ORDER BY start_time`;
      expect(await moveLateRows(writer)).toEqual({ movedCount: 10, expiredCount: 0 });
      expect(await counts(service)).toEqual({ spans: 7, logs: 7, late_spans: 0, late_logs: 0 });
      const after = await all`
        SELECT * FROM timespan.spans
        WHERE service_name = ${service} AND start_time < now() - interval '1 hour' ORDER BY start_time`;
      expect([...after]).toEqual([...before]);
      expect(await moveLateRows(writer)).toEqual({ movedCount: 0, expiredCount: 0 });
    });

    test("each transaction moves the oldest ten minutes only", async () => {
      const service = uniqueName("svc");
      await write(service, [2, 30, 59.5, 60]);
      await moveLateRows(writer, 1);
      const [row] = await all`
        SELECT count(*)::int AS moved, max(start_time) < now() - interval '59 hours 54 minutes' AS oldest
        FROM timespan.spans WHERE service_name = ${service}`;
      expect(row).toEqual({ moved: 1, oldest: true });
      await moveLateRows(writer);
      expect(await counts(service)).toMatchObject({ spans: 4, late_spans: 0 });
    });

    test("several processes that move at once move every row once", async () => {
      const service = uniqueName("svc");
      await write(
        service,
        Array.from({ length: 200 }, (_, index) => 2 + (index % 100)),
      );
      await Promise.all([1, 2, 3].map(() => moveLateRows(writer)));
      await moveLateRows(writer);
      expect(await counts(service)).toEqual({ spans: 200, logs: 200, late_spans: 0, late_logs: 0 });
    });

    test("what grows older than retention while it waits is deleted and counted", async () => {
      const service = uniqueName("svc");
      await write(service, [100]);
      await applyStorage(writer, { retentionSpansMs: 50 * HOUR_MS });
      const moved = await moveLateRows(writer);
      expect(moved).toEqual({ movedCount: 1, expiredCount: 1 });
      expect(await counts(service)).toEqual({ spans: 0, logs: 1, late_spans: 0, late_logs: 0 });
    });
  });
}
