import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { createTestDatabase, openAsSuperuser, type TestDatabase } from "@timespan/testing/test-database";
import { testEngines } from "@timespan/testing/test-environment";
import { closeDatabase, type Database, openDatabase } from "../src/database.ts";
import { readIngestLag } from "../src/ingest/read-ingest-lag.ts";
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
      fields: { next: number; high: number | null; written: number | null; observed: number | null },
    ) => all`
      INSERT INTO timespan.ingest_offsets (topic, partition, next_offset, high_watermark, written_at, observed_at)
      VALUES ('t', ${number}, ${fields.next}, ${fields.high},
        now() - make_interval(secs => ${fields.written}), now() - make_interval(secs => ${fields.observed}))`;

    test("there is no lag before anything was read", async () => {
      expect(await readIngestLag(reader)).toEqual({
        partitionCount: 0,
        recordsBehind: 0,
        lagSeconds: 0,
        observedSecondsAgo: null,
      });
    });

    test("a partition that is stored to its end has none, however long nothing came", async () => {
      await partition(0, { next: 100, high: 100, written: 86_400, observed: 5 });
      await partition(1, { next: 7, high: null, written: null, observed: null });
      expect(await readIngestLag(reader)).toMatchObject({
        partitionCount: 2,
        recordsBehind: 0,
        lagSeconds: 0,
      });
    });

    test("the lag is that of the partition which has stored nothing for longest while records wait", async () => {
      await partition(0, { next: 100, high: 150, written: 30, observed: 5 });
      await partition(1, { next: 100, high: 101, written: 90, observed: 8 });
      await partition(2, { next: 100, high: 100, written: 900, observed: 5 });
      const lag = await readIngestLag(reader);
      expect(lag).toMatchObject({ partitionCount: 3, recordsBehind: 51 });
      expect(lag.lagSeconds).toBeWithin(90, 95);
      expect(lag.observedSecondsAgo).toBeWithin(5, 10);
    });

    test("a partition of which nothing was ever stored lags since it was last looked at", async () => {
      await partition(0, { next: 0, high: 10, written: null, observed: 40 });
      expect((await readIngestLag(reader)).lagSeconds).toBeWithin(40, 45);
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
