import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { uniqueName } from "@timespan/testing/events";
import { TestBatch } from "@timespan/testing/test-batch";
import { createTestDatabase, openAsSuperuser, type TestDatabase } from "@timespan/testing/test-database";
import { testEngines } from "@timespan/testing/test-environment";
import { closeDatabase, type Database, openDatabase } from "../src/database.ts";
import { observePartitions } from "../src/ingest/observe-partitions.ts";
import { openPartition } from "../src/ingest/open-partition.ts";
import { readIngestLag } from "../src/ingest/read-ingest-lag.ts";
import { writeBatch } from "../src/ingest/write-batch.ts";
import { readSchemaVersion } from "../src/schema-version.ts";

for (const { engine, present } of testEngines()) {
  describe.skipIf(!present)(`what /ready asks of ${engine}`, () => {
    let created: TestDatabase;
    let reader: Database;
    let all: Database;
    beforeAll(async () => {
      created = await createTestDatabase(engine);
      reader = openDatabase({
        url: created.url,
        role: "timespan_reader",
        applicationName: "test",
        poolMax: 1,
        statementTimeoutMs: 30_000,
      });
      all = openAsSuperuser(created.url);
    });
    afterEach(async () => {
      await all`DELETE FROM timespan.ingest_offsets`;
    });
    afterAll(async () => {
      await Promise.all([closeDatabase(reader), closeDatabase(all)]);
      await created.drop();
    });

    /** Times are seconds ago; null where it never happened. */
    const partition = (
      number: number,
      fields: { next: number; high: number | null; observed: number | null; behind: number | null },
    ) => all`
      INSERT INTO timespan.ingest_offsets (topic, partition, next_offset, high_watermark, observed_at, behind_since)
      VALUES ('t', ${number}, ${fields.next}, ${fields.high},
        now() - make_interval(secs => ${fields.observed}), now() - make_interval(secs => ${fields.behind}))`;

    test("there is no lag before anything was read", async () => {
      expect(await readIngestLag(reader)).toEqual({
        partitionCount: 0,
        recordsBehind: 0,
        lagSeconds: 0,
        observedSecondsAgo: null,
      });
    });

    test("a partition that is stored to its end has none, however long nothing came", async () => {
      await partition(0, { next: 100, high: 100, observed: 5, behind: null });
      await partition(1, { next: 7, high: null, observed: null, behind: null });
      expect(await readIngestLag(reader)).toMatchObject({
        partitionCount: 2,
        recordsBehind: 0,
        lagSeconds: 0,
      });
    });

    test("the lag is that of the partition which has been behind for longest", async () => {
      await partition(0, { next: 100, high: 150, observed: 5, behind: 30 });
      await partition(1, { next: 100, high: 101, observed: 8, behind: 90 });
      await partition(2, { next: 100, high: 100, observed: 5, behind: null });
      const lag = await readIngestLag(reader);
      expect(lag).toMatchObject({ partitionCount: 3, recordsBehind: 51 });
      expect(lag.lagSeconds).toBeWithin(90, 95);
      expect(lag.observedSecondsAgo).toBeWithin(5, 10);
    });

    test("a partition falls behind when it is seen to, and has caught up when a batch reaches that end", async () => {
      const topic = uniqueName("topic");
      const { sourceId } = await openPartition(all, topic, 0, { low: 0, high: 10 });
      const lagOf = async () => (await readIngestLag(reader)).lagSeconds;
      const observe = (highWatermark: number) =>
        observePartitions(all, [{ topic, partition: 0, highWatermark }]);
      const write = (startOffset: number, endOffset: number) =>
        writeBatch(
          all,
          new TestBatch({ topic, partition: 0, sourceId, startOffset, endOffset, lateBeforeUs: 0 }),
        );
      await observe(10);
      await Bun.sleep(300);
      await observe(12);
      const behind = await lagOf();
      expect(behind).toBeGreaterThan(0.25); // since it was first seen, not since it was last seen
      await write(0, 5);
      expect(await lagOf()).toBeGreaterThan(behind);
      await write(5, 12);
      expect(await lagOf()).toBe(0);
      await observe(12);
      expect(await lagOf()).toBe(0);
    });

    test("a migrated schema is current, and what is missing is named", async () => {
      expect(await readSchemaVersion(reader)).toEqual({ current: true, missing: [] });
      await all`DELETE FROM timespan.schema_migrations`;
      const version = await readSchemaVersion(reader);
      expect(version.current).toBe(false);
      expect(version.missing).toHaveLength(2);
    });
  });
}
