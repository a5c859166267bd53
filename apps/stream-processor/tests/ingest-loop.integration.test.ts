import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { systemClock } from "@timespan/runtime/clock";
import { createLogger } from "@timespan/runtime/logger";
import { createRegistry } from "@timespan/runtime/metrics";
import { closeDatabase, type Database, openDatabase } from "@timespan/store/database";
import { maintainStorage } from "@timespan/store/storage/maintain-storage";
import { NO_GUARDS } from "@timespan/telemetry/guards";
import { logEvent, spanEvent, uniqueName } from "@timespan/testing/events";
import { eventually } from "@timespan/testing/run-app";
import { ScriptedConsumer } from "@timespan/testing/scripted-consumer";
import { createTestDatabase, openAsSuperuser, type TestDatabase } from "@timespan/testing/test-database";
import { testEngines } from "@timespan/testing/test-environment";
import { type DecodeRecord, decodeLogRecord, decodeSpanRecord } from "../src/decode-record.ts";
import type { ErrorForwarder } from "../src/error-forwarder.ts";
import { type IngestLimits, IngestLoop } from "../src/ingest-loop.ts";
import { createIngestMetrics } from "../src/ingest-metrics.ts";
import { ThroughputLog } from "../src/throughput-log.ts";

const DAY_MS = 86_400_000;
const LIMITS: IngestLimits = {
  batchRowsMax: 100,
  batchBytesMax: 1_000_000,
  batchAgeMsMax: 50,
  parallelWritesMax: 2,
  bufferedBytesMax: 10_000_000,
  retentionSpansMs: 7 * DAY_MS,
  retentionLogsMs: 7 * DAY_MS,
  lateAfterMs: 7 * DAY_MS,
};

const NO_THROUGHPUT_LINES = { targetCount: 0, intervalMsMin: 0, sampleEvery: 1 };

/** Keeps what was forwarded; holds it back while the gate is closed. */
class ScriptedForwarder implements ErrorForwarder {
  readonly forwarded: string[] = [];
  gate: Promise<void> = Promise.resolve();
  async forward(_: number, values: readonly string[]): Promise<void> {
    await this.gate;
    this.forwarded.push(...values);
  }
  stop(): void {}
}

for (const { engine, present } of testEngines()) {
  describe.skipIf(!present)(`the ingest loop on ${engine}`, () => {
    let created: TestDatabase;
    let writer: Database;
    let all: Database;

    beforeAll(async () => {
      created = await createTestDatabase(engine);
      writer = openDatabase({
        url: created.url,
        role: "timespan_writer",
        applicationName: "ingest loop test",
        poolMax: 6,
        statementTimeoutMs: 30_000,
      });
      all = openAsSuperuser(created.url);
    });
    afterAll(async () => {
      await Promise.all([closeDatabase(writer), closeDatabase(all)]);
      await created.drop();
    });

    function start(options: { topic?: string; limits?: Partial<IngestLimits>; decode?: DecodeRecord } = {}) {
      const topic = options.topic ?? uniqueName("topic");
      const consumer = new ScriptedConsumer(topic);
      consumer.held.set(0, { low: 0, high: 1_000_000 }).set(1, { low: 0, high: 1_000_000 });
      const forwarder = new ScriptedForwarder();
      const fatal: unknown[] = [];
      const registry = createRegistry("test");
      const metrics = createIngestMetrics(registry);
      const loop = new IngestLoop({
        consumer,
        database: writer,
        forwarder,
        topics: new Map([
          [
            topic,
            { decode: options.decode ?? decodeSpanRecord, retentionMs: 7 * DAY_MS, itemAt: (value) => value },
          ],
        ]),
        maintainStorage: () => maintainStorage(writer),
        limits: { ...LIMITS, ...options.limits },
        clock: systemClock,
        logger: createLogger("test", "silent"),
        metrics,
        guards: NO_GUARDS,
        throughput: new ThroughputLog(NO_THROUGHPUT_LINES, systemClock, createLogger("test", "silent")),
        onFatal: (error) => fatal.push(error),
      });
      return { topic, consumer, forwarder, loop, metrics, fatal };
    }

    /** Starts a loop that reads the given partitions of its topic. */
    async function startReading(options: Parameters<typeof start>[0] = {}, ...partitions: number[]) {
      const started = start(options);
      await started.loop.start();
      const assigned = partitions.length > 0 ? partitions : [0];
      started.consumer.assign(...assigned);
      await eventually(() => assigned.every((partition) => !started.consumer.paused.has(partition)), {
        what: "the partitions to be read",
      });
      return started;
    }

    const spans = (service: string, count: number) =>
      Array.from({ length: count }, (_, index) =>
        spanEvent({ service_name: service, name: `span ${index}` }),
      );
    const names = async (service: string): Promise<string[]> =>
      (await all`SELECT span_name FROM timespan.spans WHERE service_name = ${service}`)
        .map(({ span_name }) => span_name as string)
        .toSorted((a, b) => a.localeCompare(b, "en", { numeric: true }));
    const expectedNames = (count: number) => Array.from({ length: count }, (_, index) => `span ${index}`);
    const nextOffset = async (topic: string, partition = 0): Promise<number> =>
      (
        await all`SELECT next_offset::int AS n FROM timespan.ingest_offsets
                  WHERE topic = ${topic} AND partition = ${partition}`
      )[0]?.n;
    const stored = (topic: string, offset: number) =>
      eventually(async () => (await nextOffset(topic)) === offset, { what: `offset ${offset} to be stored` });

    test("records become rows, and Kafka hears of the offset only afterwards", async () => {
      const service = uniqueName("svc");
      const { topic, consumer, loop } = await startReading();
      expect(consumer.seeks).toEqual([{ partition: 0, offset: 0 }]);
      consumer.deliver(0, 0, spans(service, 250));
      expect(consumer.commits).toEqual([]);
      await stored(topic, 250);
      expect(await names(service)).toEqual(expectedNames(250));
      await loop.stop(5_000);
      expect(consumer.commits.at(-1)).toEqual({ partition: 0, nextOffset: 250 });
    });

    test("the same records delivered twice, whole or in part, are stored once", async () => {
      const service = uniqueName("svc");
      const { topic, consumer, loop } = await startReading();
      const events = spans(service, 60);
      consumer.deliver(0, 0, events.slice(0, 40));
      consumer.deliver(0, 0, events.slice(0, 40));
      consumer.deliver(0, 20, events.slice(20, 60));
      await stored(topic, 60);
      consumer.deliver(0, 0, events);
      await loop.stop(5_000);
      expect(await names(service)).toEqual(expectedNames(60));
    });

    test("a restarted process begins where the store is, whatever Kafka delivers", async () => {
      const service = uniqueName("svc");
      const topic = uniqueName("topic");
      const events = spans(service, 30);
      const first = await startReading({ topic });
      first.consumer.deliver(0, 0, events.slice(0, 10));
      await stored(topic, 10);
      await first.loop.stop(5_000);
      const second = await startReading({ topic });
      expect(second.consumer.seeks).toEqual([{ partition: 0, offset: 10 }]);
      second.consumer.deliver(0, 0, events);
      await stored(topic, 30);
      await second.loop.stop(5_000);
      expect(await names(service)).toEqual(expectedNames(30));
    });

    test("records from beyond the position are not taken: the position is sought again", async () => {
      const service = uniqueName("svc");
      const { topic, consumer, loop } = await startReading();
      const events = spans(service, 20);
      consumer.deliver(0, 10, events.slice(10));
      expect(consumer.seeks.at(-1)).toEqual({ partition: 0, offset: 0 });
      consumer.deliver(0, 0, events);
      await stored(topic, 20);
      await loop.stop(5_000);
      expect(await names(service)).toEqual(expectedNames(20));
    });

    test("what Kafka keeps not having is passed over after three tries, and counted", async () => {
      const service = uniqueName("svc");
      const { topic, consumer, loop, metrics } = await startReading();
      for (let tries = 0; tries < 4; tries++) consumer.deliver(0, 1_000, spans(service, 5));
      await stored(topic, 1_005);
      await loop.stop(5_000);
      expect(await names(service)).toEqual(expectedNames(5));
      const skipped = await metrics.skippedOffsets.get();
      expect(skipped.values.map(({ value }) => value)).toEqual([1_000]);
    });

    test("offsets without a record are covered, or they would be asked for forever", async () => {
      const service = uniqueName("svc");
      const { topic, consumer, loop } = await startReading();
      const value = Buffer.from(JSON.stringify(spanEvent({ service_name: service, name: "span 0" })));
      consumer.deliverFetch(0, {
        fetchedOffset: 0,
        nextOffset: 50,
        records: [{ offset: 7, timestampMs: Date.now(), value }],
      });
      await stored(topic, 50);
      await loop.stop(5_000);
      expect(await names(service)).toEqual(["span 0"]);
    });

    test("a batch of a process that lost its partition is fenced, and nothing is doubled or lost", async () => {
      const service = uniqueName("svc");
      const topic = uniqueName("topic");
      const events = spans(service, 40);
      const zombie = await startReading({ topic, limits: { batchAgeMsMax: 3_000 } });
      zombie.consumer.deliver(0, 0, events.slice(0, 20)); // read, not yet written
      const successor = await startReading({ topic });
      successor.consumer.deliver(0, 0, events.slice(0, 30));
      await stored(topic, 30);
      zombie.consumer.revoke(); // now it writes
      await eventually(() => zombie.consumer.seeks.length === 2, {
        what: "the zombie to ask the store anew",
      });
      expect(zombie.consumer.seeks.at(-1)).toEqual({ partition: 0, offset: 30 });
      zombie.consumer.deliver(0, 30, events.slice(30));
      zombie.consumer.revoke();
      await stored(topic, 40);
      await Promise.all([zombie.loop.stop(5_000), successor.loop.stop(5_000)]);
      expect(await names(service)).toEqual(expectedNames(40));
    });

    test("a rebalance during a write stores each row once", async () => {
      const service = uniqueName("svc");
      const { topic, consumer, loop } = await startReading();
      const events = spans(service, 30);
      const release = await holdLedger(topic);
      consumer.deliver(0, 0, events);
      consumer.revoke();
      await eventually(() => ledgerIsWaitedFor(), { what: "the write to reach the ledger" });
      consumer.assign(0); // the write of the old assignment is still under way
      await release();
      await eventually(() => !consumer.paused.has(0), { what: "the partition to be read again" });
      consumer.deliver(0, 0, events);
      await stored(topic, 30);
      await loop.stop(5_000);
      expect(await names(service)).toEqual(expectedNames(30));
    });

    test("while the store takes nothing, partitions pause and what waits is bounded; then all is stored", async () => {
      const service = uniqueName("svc");
      const { topic, consumer, loop, metrics } = await startReading({
        limits: { batchRowsMax: 50, bufferedBytesMax: 40_000 },
      });
      const release = await holdLedger(topic);
      let delivered = 0;
      const events = spans(service, 2_000);
      while (!consumer.paused.has(0)) {
        consumer.deliver(0, delivered, events.slice(delivered, delivered + 25));
        delivered += 25;
        expect(delivered).toBeLessThan(2_000);
      }
      const waiting = (await metrics.bufferedBytes.get()).values[0]?.value ?? 0;
      expect(waiting).toBeGreaterThan(0);
      expect(waiting).toBeLessThan(80_000);
      expect((await metrics.pausedPartitions.get()).values[0]?.value).toBe(1);
      await release();
      await eventually(() => !consumer.paused.has(0), { what: "the partition to be read again" });
      consumer.deliver(0, delivered, events.slice(delivered));
      await stored(topic, 2_000);
      await loop.stop(5_000);
      expect(await names(service)).toEqual(expectedNames(2_000));
      expect((await metrics.bufferedBytes.get()).values[0]?.value).toBe(0);
    });

    test("one poison record among 1,000 leaves 999 rows, one dead letter and a moving offset", async () => {
      const service = uniqueName("svc");
      const { topic, consumer, loop } = await startReading();
      const values: (object | string)[] = spans(service, 1_000);
      values[500] = '{"type":"span","service_name":';
      consumer.deliver(0, 0, values);
      await stored(topic, 1_000);
      await loop.stop(5_000);
      expect(await names(service)).toHaveLength(999);
      const letters = await all`
        SELECT source_offset::int, reason, convert_from(payload, 'UTF8') AS payload
        FROM timespan.dead_letters WHERE topic = ${topic}`;
      expect([...letters]).toEqual([{ source_offset: 500, reason: "malformed_json", payload: values[500] }]);
    });

    test("bad input of every kind: stored sensibly or a dead letter, and the rest of the batch is unaffected", async () => {
      const service = uniqueName("svc");
      const { topic, consumer, loop } = await startReading();
      const good = (fields: object) => spanEvent({ service_name: service, ...fields });
      consumer.deliver(0, 0, [
        good({ name: "span 0" }),
        good({ timestamp: "1970-01-01T00:00:00Z" }),
        good({ timestamp: "2100-01-01T00:00:00Z" }),
        good({ duration_ms: 10 * 365 * DAY_MS }),
        good({ trace_id: "abc" }),
        good({ name: "span 1", labels: { big: "x".repeat(100_000) } }),
        good({ name: "span 2", labels: { big: "y".repeat(1_000_000) } }),
        good({ name: "span 3", labels: { nul: "a\0b", lone: "\ud800" } }),
        "",
        null,
        good({ name: "span 4" }),
      ] as (object | string | null)[]);
      await stored(topic, 11);
      await loop.stop(5_000);
      expect(await names(service)).toEqual(expectedNames(5));
      const letters = await all`
        SELECT source_offset::int AS at, reason FROM timespan.dead_letters WHERE topic = ${topic} ORDER BY 1`;
      expect(letters.map(({ at, reason }) => [at, reason])).toEqual([
        [1, "timestamp_too_old"],
        [2, "timestamp_in_future"],
        [3, "invalid_event"],
        [4, "invalid_event"],
        [8, "malformed_json"],
        [9, "malformed_json"],
      ]);
    });

    test("a batch with errors is written only after Kafka has the errors; each has an id that never changes", async () => {
      const service = uniqueName("svc");
      const { topic, consumer, forwarder, loop } = await startReading({ decode: decodeLogRecord });
      const gate = Promise.withResolvers<void>();
      forwarder.gate = gate.promise;
      const events = [
        logEvent({ service_name: service, level: "ERROR", message: "broken" }),
        logEvent({ service_name: service, message: "fine" }),
      ];
      consumer.deliver(0, 0, events);
      await Bun.sleep(300);
      expect(await nextOffset(topic)).toBe(0);
      gate.resolve();
      await stored(topic, 2);
      await loop.stop(5_000);
      const [{ source_id } = {}] =
        await all`SELECT source_id FROM timespan.ingest_offsets WHERE topic = ${topic}`;
      const sent = forwarder.forwarded.map((value) => JSON.parse(value));
      expect(sent).toMatchObject([
        { event_id: `${source_id}-0-0`, level: "ERROR", message: "broken", service_name: service },
      ]);
    });

    test("a stop writes what was read", async () => {
      const service = uniqueName("svc");
      const { consumer, loop } = await startReading({ limits: { batchAgeMsMax: 60_000 } });
      consumer.deliver(0, 0, spans(service, 77));
      await loop.stop(5_000);
      expect(await names(service)).toEqual(expectedNames(77));
    });

    test("a row whose day has no partition waits for the partition to be made, and is stored", async () => {
      const service = uniqueName("svc");
      const day = new Date(Date.now() - 3 * DAY_MS).toISOString().slice(0, 10).replaceAll("-", "");
      if (engine === "postgres") await all.unsafe(`DROP TABLE timespan.spans_${day}`);
      const { topic, consumer, loop } = await startReading();
      const timestamp = new Date(Date.now() - 3 * DAY_MS).toISOString();
      consumer.deliver(0, 0, [spanEvent({ service_name: service, name: "span 0", timestamp })]);
      await stored(topic, 1);
      await loop.stop(5_000);
      expect(await names(service)).toEqual(["span 0"]);
    });

    test("a database that is not what we think ends the process with nothing acknowledged", async () => {
      const service = uniqueName("svc");
      const { topic, consumer, loop, fatal } = await startReading();
      await all`REVOKE INSERT ON timespan.trace_locator FROM timespan_writer`;
      try {
        consumer.deliver(0, 0, spans(service, 5));
        await eventually(() => fatal.length > 0, { what: "the loop to give up" });
      } finally {
        await all`GRANT INSERT ON timespan.trace_locator TO timespan_writer`;
      }
      await loop.stop(1_000);
      expect(String(fatal[0])).toContain("permission denied");
      expect(await nextOffset(topic)).toBe(0);
      expect(await names(service)).toEqual([]);
      expect(consumer.commits).toEqual([]);
    });

    /** Holds the ledger's row of `topic`, at which every write of it then waits. */
    async function holdLedger(topic: string): Promise<() => Promise<void>> {
      const holder = await all.reserve();
      await holder`BEGIN`;
      await holder`SELECT FROM timespan.ingest_offsets WHERE topic = ${topic} FOR UPDATE`;
      return async () => {
        await holder`ROLLBACK`;
        holder.release();
      };
    }

    async function ledgerIsWaitedFor(): Promise<boolean> {
      const waiting = await all`
        SELECT FROM pg_stat_activity
        WHERE wait_event_type = 'Lock' AND query LIKE '%UPDATE timespan.ingest_offsets%'
          AND application_name = 'ingest loop test' AND datname = current_database()`;
      return waiting.count > 0;
    }
  });
}
