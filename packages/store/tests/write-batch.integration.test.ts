import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { durationBin } from "@timespan/telemetry/duration-bin";
import { decodeLogEvent } from "@timespan/telemetry/wire/decode-log-event";
import { decodeSpanEvent } from "@timespan/telemetry/wire/decode-span-event";
import { logEvent, randomHex, spanEvent, uniqueName } from "@timespan/testing/events";
import { TestBatch, type TestBatchParts } from "@timespan/testing/test-batch";
import { createTestDatabase, openAsSuperuser, type TestDatabase } from "@timespan/testing/test-database";
import { testEngines } from "@timespan/testing/test-environment";
import { closeDatabase, type Database, openDatabase } from "../src/database.ts";
import { deadLetterColumns } from "../src/ingest/dead-letter-columns.ts";
import { openPartition } from "../src/ingest/open-partition.ts";
import { writeBatch } from "../src/ingest/write-batch.ts";
import { logRecordColumns } from "../src/log-records/log-record-columns.ts";
import { spanColumns } from "../src/spans/span-columns.ts";
import { traceLocatorColumns } from "../src/traces/trace-locator-columns.ts";

const span = (fields: Parameters<typeof spanEvent>[0] = {}) => {
  const decoded = decodeSpanEvent(Buffer.from(JSON.stringify(spanEvent(fields))), Date.now());
  if (!decoded.ok) throw new Error(decoded.rejection.detail);
  return decoded.value;
};
const log = (fields: Parameters<typeof logEvent>[0] = {}) => {
  const decoded = decodeLogEvent(Buffer.from(JSON.stringify(logEvent(fields))), Date.now());
  if (!decoded.ok) throw new Error(decoded.rejection.detail);
  return decoded.value;
};

for (const { engine, present } of testEngines()) {
  describe.skipIf(!present)(`writeBatch on ${engine}`, () => {
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

    /** A batch of `spans` and `logs` for a partition of its own, one record a row from offset 0. */
    async function batchOf(parts: Partial<TestBatchParts>): Promise<TestBatch> {
      const topic = parts.topic ?? uniqueName("topic");
      const { sourceId, nextOffset } = await openPartition(writer, topic, 0, { low: 0, high: 1_000_000 });
      return new TestBatch({
        topic,
        partition: 0,
        sourceId,
        startOffset: nextOffset,
        endOffset: nextOffset + 1_000,
        lateBeforeUs: Number.NEGATIVE_INFINITY,
        ...parts,
      });
    }

    const ledger = async (topic: string) =>
      (
        await all`SELECT next_offset::int, row_count::int, dead_letter_count::int, source_id
                  FROM timespan.ingest_offsets WHERE topic = ${topic}`
      )[0];

    test("the column lists are the tables' columns, in their order", async () => {
      const columnsOf = async (table: string) =>
        (
          await all`SELECT column_name FROM information_schema.columns
                    WHERE table_schema = 'timespan' AND table_name = ${table} ORDER BY ordinal_position`
        ).map(({ column_name }) => column_name);
      const names = (columns: readonly { name: string }[]) => columns.map(({ name }) => name);
      expect(names(spanColumns(1))).toEqual(await columnsOf("spans"));
      expect(names(logRecordColumns(1))).toEqual(await columnsOf("log_records"));
      expect(names(traceLocatorColumns)).toEqual(await columnsOf("trace_locator"));
      const generated = ["dead_letter_id", "received_at", "replayed_at", "discarded_at"];
      expect([...generated, ...names(deadLetterColumns("t", 0))]).toEqual(await columnsOf("dead_letters"));
    });

    test("every field of a span and a log arrives as it was", async () => {
      const traceId = randomHex(16);
      const batch = await batchOf({
        spans: [
          {
            span: span({
              timestamp: "2026-11-21T09:08:07.654321Z".replace("2026-11-21", yesterday()),
              trace_id: traceId,
              span_id: "ffeeddccbbaa9988",
              parent_span_id: "0000000000000001",
              labels: { quote: "'; DROP TABLE spans; --\t\n\\", unicode: "日本 😀" },
            }),
            source: { offset: 7, index: 3 },
          },
          {
            span: span({ trace_id: traceId, http_method: undefined as never }),
            source: { offset: 8, index: 0 },
          },
        ],
        logs: [
          {
            log: log({ trace_id: traceId, level: "WARN", message: "tab\t newline\n backslash\\ ü" }),
            source: { offset: 9, index: 0 },
          },
        ],
      });
      expect(await writeBatch(writer, batch)).toMatchObject({ outcome: "written", rowCount: 3 });

      const [row] = await all`
        SELECT *, start_time::text AS start_text FROM timespan.spans
        WHERE trace_id = ${traceId}::uuid AND source_offset = 7`;
      expect(row).toMatchObject({
        start_text: `${yesterday()} 09:08:07.654321+00`,
        duration_us: "12345",
        duration_bin: durationBin(12_345),
        span_id: BigInt.asIntN(64, 0xffeeddccbbaa9988n).toString(),
        parent_span_id: "1",
        source_index: 3,
        source_id: batch.sourceId,
        span_kind: 2,
        status_code: 1,
        http_status_code: 201,
        service_name: "checkout",
        environment: "production",
        span_name: "POST /orders",
        http_method: "POST",
        http_path: "/orders",
        attributes: { quote: "'; DROP TABLE spans; --\t\n\\", unicode: "日本 😀" },
      });
      const [second] =
        await all`SELECT * FROM timespan.spans WHERE trace_id = ${traceId}::uuid AND source_offset = 8`;
      expect(second).toMatchObject({ parent_span_id: null, http_method: null });
      const [logRow] = await all`SELECT * FROM timespan.log_records WHERE trace_id = ${traceId}::uuid`;
      expect(logRow).toMatchObject({
        severity_number: 13,
        severity_text: "WARN",
        body: "tab\t newline\n backslash\\ ü",
        attributes: { region: "eu" },
      });
      const [pattern] = await all`
        SELECT pattern FROM timespan.log_patterns JOIN timespan.log_records USING (pattern_id)
        WHERE trace_id = ${traceId}::uuid`;
      expect(pattern).toEqual({ pattern: "tab\t newline…" });
      const [view] =
        await all`SELECT * FROM apm.spans WHERE trace_id = ${traceId} AND span_id = 'ffeeddccbbaa9988'`;
      expect(view).toMatchObject({
        span_kind: "SERVER",
        status_code: "OK",
        duration_ms: 12.345,
        parent_span_id: "0000000000000001",
      });
      const [located] = await all`
        SELECT count(*)::int AS rows, bool_and(first_time <= last_time) AS ordered
        FROM timespan.trace_locator WHERE trace_id = ${traceId}::uuid`;
      expect(located).toEqual({ rows: 1, ordered: true });
      const [resource] = await all`
        SELECT r.attributes FROM timespan.spans s JOIN timespan.resources r USING (resource_id)
        WHERE s.trace_id = ${traceId}::uuid LIMIT 1`;
      expect(resource?.attributes).toEqual({
        "service.name": "checkout",
        "deployment.environment.name": "production",
      });
    });

    test("rows larger than what is sent at once arrive whole, and so do the small ones around them", async () => {
      const service = uniqueName("svc");
      const sizes = [1, 700_000, 2, 3, 262_144, 261_900, 262_100, 5, 1_500_000];
      const batch = await batchOf({
        spans: sizes.map((size, offset) => ({
          span: {
            ...span({ service_name: service }),
            attributesJson: JSON.stringify({ x: "x".repeat(size) }),
          },
          source: { offset, index: 0 },
        })),
      });
      expect(await writeBatch(writer, batch)).toMatchObject({ outcome: "written", rowCount: sizes.length });
      const rows = await all`
        SELECT length(attributes->>'x') AS size FROM timespan.spans
        WHERE service_name = ${service} ORDER BY source_offset`;
      expect(rows.map(({ size }) => size)).toEqual(sizes);
    });

    test("the same batch a second time changes nothing", async () => {
      const service = uniqueName("svc");
      const batch = await batchOf({
        spans: [{ span: span({ service_name: service }), source: { offset: 0, index: 0 } }],
        deadLetters: [
          {
            rejection: { reason: "invalid_event", detail: "x" },
            source: { offset: 1, index: 0 },
            payload: null,
          },
        ],
      });
      expect(await writeBatch(writer, batch)).toMatchObject({ outcome: "written" });
      expect(await writeBatch(writer, batch)).toEqual({ outcome: "fenced" });
      const [{ spans, letters } = {}] = await all`
        SELECT (SELECT count(*)::int FROM timespan.spans WHERE service_name = ${service}) AS spans,
               (SELECT count(*)::int FROM timespan.dead_letters WHERE topic = ${batch.topic}) AS letters`;
      expect({ spans, letters }).toEqual({ spans: 1, letters: 1 });
      expect(await ledger(batch.topic)).toMatchObject({
        next_offset: 1_000,
        row_count: 1,
        dead_letter_count: 1,
      });
    });

    test("of two processes that write the same records at once, one is fenced", async () => {
      const service = uniqueName("svc");
      const batch = await batchOf({
        spans: Array.from({ length: 500 }, (_, offset) => ({
          span: span({ service_name: service }),
          source: { offset, index: 0 },
        })),
      });
      const outcomes = await Promise.all([writeBatch(writer, batch), writeBatch(writer, batch)]);
      expect(outcomes.map(({ outcome }) => outcome).toSorted()).toEqual(["fenced", "written"]);
      const [{ count } = {}] =
        await all`SELECT count(*)::int FROM timespan.spans WHERE service_name = ${service}`;
      expect(count).toBe(500);
    });

    test("a batch that fails after its COPY leaves no row and no offset", async () => {
      const service = uniqueName("svc");
      const batch = await batchOf({
        spans: [{ span: span({ service_name: service }), source: { offset: 0, index: 0 } }],
      });
      // The offset moves last; a lock on its row holds the transaction right before that, where it is then killed.
      const blocker = await all.reserve();
      await blocker`BEGIN`;
      await blocker`SELECT FROM timespan.ingest_offsets WHERE topic = ${batch.topic} FOR UPDATE`;
      const writing = writeBatch(writer, batch);
      writing.catch(() => {});
      const pid = await blockedBackend(all);
      await all`SELECT pg_terminate_backend(${pid})`;
      expect(writing).rejects.toThrow();
      await writing.catch(() => {});
      await blocker`ROLLBACK`;
      blocker.release();

      const [{ count } = {}] =
        await all`SELECT count(*)::int FROM timespan.spans WHERE service_name = ${service}`;
      expect(count).toBe(0);
      expect(await ledger(batch.topic)).toMatchObject({ next_offset: 0, row_count: 0 });
      expect(await writeBatch(writer, batch)).toMatchObject({ outcome: "written", rowCount: 1 });
    });

    test("rows that the database refuses become dead letters; all others are stored", async () => {
      const service = uniqueName("svc");
      const spans = Array.from({ length: 200 }, (_, offset) => ({
        span: span({ service_name: service }),
        source: { offset, index: 0 },
      }));
      // The decoder lets neither through; this is what happens if it ever did.
      for (const [offset, broken] of [
        [17, { attributesJson: "{not json" }],
        [120, { spanName: "nul \0 inside" }],
        [199, { attributesJson: '{"nul":"\\u0000"}' }],
      ] as const) {
        const row = spans[offset];
        if (row !== undefined) row.span = { ...row.span, ...broken };
      }
      const batch = await batchOf({ spans });
      const outcome = await writeBatch(writer, batch);
      expect(outcome).toMatchObject({ outcome: "written", rowCount: 197 });
      const letters = await all`
        SELECT source_offset::int, reason, detail, convert_from(payload, 'UTF8') AS payload
        FROM timespan.dead_letters WHERE topic = ${batch.topic} ORDER BY source_offset`;
      expect(letters.map(({ source_offset, reason, payload }) => [source_offset, reason, payload])).toEqual([
        [17, "refused_by_database", "record 17"],
        [120, "refused_by_database", "record 120"],
        [199, "refused_by_database", "record 199"],
      ]);
      expect(letters[0]?.detail).toStartWith("22P02: ");
      expect(await ledger(batch.topic)).toMatchObject({
        next_offset: 1_000,
        row_count: 197,
        dead_letter_count: 3,
      });
    });

    test("a topic that was made anew is read from its beginning under a new source id", async () => {
      const topic = uniqueName("topic");
      const first = await openPartition(writer, topic, 0, { low: 0, high: 500 });
      await writeBatch(writer, await batchOf({ topic, startOffset: 0, endOffset: 400 }));
      const again = await openPartition(writer, topic, 0, { low: 0, high: 500 });
      expect(again).toMatchObject({ how: "continued", nextOffset: 400, sourceId: first.sourceId });
      const truncated = await openPartition(writer, topic, 0, { low: 450, high: 500 });
      expect(truncated).toMatchObject({ how: "skipped", previousOffset: 400, nextOffset: 450 });
      const recreated = await openPartition(writer, topic, 0, { low: 0, high: 20 });
      expect(recreated).toMatchObject({ how: "recreated", previousOffset: 450, nextOffset: 0 });
      expect(recreated.sourceId).not.toBe(first.sourceId);
    });

    test("the writer may insert, and neither read signals nor change or drop anything", async () => {
      for (const forbidden of [
        "SELECT * FROM timespan.spans",
        "UPDATE timespan.log_records SET body = ''",
        "DELETE FROM timespan.dead_letters",
        "DROP TABLE timespan.resources",
        "CREATE TABLE timespan.mine (x int)",
      ]) {
        expect(writer.unsafe(forbidden)).rejects.toThrow(/permission denied|must be owner/);
      }
    });

    test("the reader may read and write nothing; the analyst sees the views and nothing else", async () => {
      const attempt = (role: string, statement: string) =>
        all.begin(async (transaction) => {
          await transaction.unsafe(`SET LOCAL ROLE ${role}`);
          await transaction.unsafe(statement);
        });
      await attempt("timespan_reader", "SELECT * FROM timespan.spans LIMIT 1");
      await attempt("timespan_analyst", "SELECT * FROM apm.spans, apm.logs LIMIT 1");
      expect(attempt("timespan_reader", "DELETE FROM timespan.spans")).rejects.toThrow("permission denied");
      expect(attempt("timespan_analyst", "SELECT * FROM timespan.spans")).rejects.toThrow(
        "permission denied",
      );
      expect(attempt("timespan_analyst", "DELETE FROM apm.spans")).rejects.toThrow("cannot delete");
    });
  });
}

function yesterday(): string {
  // Not today: so that nine o'clock is past at any hour, and never older than what is kept.
  return new Date(Date.now() - 86_400_000).toISOString().slice(0, 10);
}

/** The backend that waits for the lock on the ledger. */
async function blockedBackend(database: Database): Promise<number> {
  for (;;) {
    const [row] = await database<{ pid: number }[]>`
      SELECT pid FROM pg_stat_activity
      WHERE wait_event_type = 'Lock' AND query LIKE '%UPDATE timespan.ingest_offsets%' AND pid <> pg_backend_pid()`;
    if (row !== undefined) return row.pid;
    await Bun.sleep(20);
  }
}
