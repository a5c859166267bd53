import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { uniqueName } from "@timespan/testing/events";
import { createTestDatabase, openAsSuperuser, type TestDatabase } from "@timespan/testing/test-database";
import { testEngines } from "@timespan/testing/test-environment";
import { closeDatabase, type Database, openDatabase } from "../src/database.ts";
import { countDeadLetters, countReplayable } from "../src/dead-letters/count-dead-letters.ts";
import { discardDeadLetters } from "../src/dead-letters/discard-dead-letters.ts";
import { findDeadLetter } from "../src/dead-letters/find-dead-letter.ts";
import { listDeadLetters } from "../src/dead-letters/list-dead-letters.ts";
import {
  REPLAY_PAGE_BYTES,
  REPLAY_PAGE_LETTERS,
  type ReplayableLetter,
  replayDeadLetters,
} from "../src/dead-letters/replay-dead-letters.ts";

const ALL = { after: 0, through: Number.MAX_SAFE_INTEGER };

for (const { engine, present } of testEngines()) {
  describe.skipIf(!present)(`dead letters on ${engine}`, () => {
    let created: TestDatabase;
    let database: Database;

    beforeAll(async () => {
      created = await createTestDatabase(engine);
      database = openAsSuperuser(created.url);
    });
    afterAll(async () => {
      await closeDatabase(database);
      await created.drop();
    });

    /** `count` dead letters of a topic of their own, offsets from 0, and their ids. */
    async function insert(
      count: number,
      fields: { topic?: string; reason?: string; age?: string; payload?: Uint8Array | null } = {},
    ): Promise<{ topic: string; ids: number[] }> {
      const topic = fields.topic ?? uniqueName("topic");
      const payload = fields.payload === undefined ? Buffer.from("{}") : fields.payload;
      const rows = await database<{ id: number }[]>`
        INSERT INTO timespan.dead_letters
          (received_at, topic, partition, source_offset, source_index, reason, detail, payload)
        SELECT now() - ${fields.age ?? "0 s"}::interval, ${topic}, 3, n, 0,
               ${fields.reason ?? "invalid_event"}, 'number ' || n, ${payload}::bytea
        FROM generate_series(0, ${count - 1}::integer) AS n
        RETURNING dead_letter_id::double precision AS id`;
      return { topic, ids: rows.map(({ id }) => id) };
    }

    const states = async (topic: string) =>
      (await listDeadLetters(database, { topic }, { size: 10_000 })).map(({ state }) => state).reverse();
    const acknowledgeAll = async (letters: readonly ReplayableLetter[]) =>
      new Set(letters.map(({ id }) => id));

    test("the list has the newest first, by page, with all that is known but the payload", async () => {
      const { topic, ids } = await insert(5);
      const first = await listDeadLetters(database, { topic }, { size: 2 });
      const rest = await listDeadLetters(database, { topic }, { size: 9, beforeId: first.at(-1)?.id });
      expect([...first, ...rest].map(({ id }) => id)).toEqual(ids.toReversed());
      expect(first[0]).toEqual({
        id: ids[4] ?? 0,
        received_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
        topic,
        partition: 3,
        source_offset: 4,
        source_index: 0,
        reason: "invalid_event",
        detail: "number 4",
        payload_bytes: 2,
        state: "waiting",
      });
    });

    test("one is found with its payload; one that is not there is not", async () => {
      const payload = Uint8Array.of(0, 255, 10);
      const { ids } = await insert(1, { payload });
      const found = await findDeadLetter(database, ids[0] ?? 0);
      expect(found).toMatchObject({ id: ids[0], replayed_at: null, discarded_at: null, payload_bytes: 3 });
      expect(new Uint8Array(found?.payload ?? [])).toEqual(payload);
      expect(await findDeadLetter(database, Number.MAX_SAFE_INTEGER)).toBeUndefined();
    });

    test("filters select by id, topic, reason, time and state, alone and together", async () => {
      const { topic, ids } = await insert(2);
      await insert(1, { topic, reason: "malformed_json" });
      await insert(1, { topic, age: "2 hours" });
      const hourAgoUs = (Date.now() - 3_600_000) * 1_000;
      const count = async (filter: Parameters<typeof listDeadLetters>[1]) =>
        (await listDeadLetters(database, { topic, ...filter }, { size: 100 })).length;
      expect(await count({})).toBe(4);
      expect(await count({ reason: "malformed_json" })).toBe(1);
      expect(await count({ sinceUs: hourAgoUs })).toBe(3);
      expect(await count({ sinceUs: hourAgoUs, reason: "invalid_event" })).toBe(2);
      expect(await count({ ids: [ids[0] ?? 0, 1e15] })).toBe(1);
      await discardDeadLetters(database, { topic, ids: [ids[0] ?? 0] }, ALL);
      expect(await count({ state: "waiting" })).toBe(3);
      expect(await count({ state: "discarded" })).toBe(1);
      expect(await count({ state: "replayed" })).toBe(0);
      const [mostFrequent, other] = await countDeadLetters(database, { topic });
      expect([mostFrequent?.count, mostFrequent?.bytes, other?.reason]).toEqual([3, 6, "malformed_json"]);
    });

    test("a replay hands each over once, oldest first, in pages, and marks what was acknowledged", async () => {
      const count = REPLAY_PAGE_LETTERS * 2 + 7;
      const { topic, ids } = await insert(count);
      const seen: number[] = [];
      const pageSizes: number[] = [];
      const before = Date.now();
      for (let after = 0; ; ) {
        const page = await replayDeadLetters(database, { topic }, { ...ALL, after }, async (letters) => {
          seen.push(...letters.map(({ id }) => id));
          pageSizes.push(letters.length);
          return new Set(letters.filter(({ source_offset }) => source_offset !== 3).map(({ id }) => id));
        });
        if (page === undefined) break;
        after = page.lastId;
      }
      expect(seen).toEqual(ids);
      expect(pageSizes).toEqual([REPLAY_PAGE_LETTERS, REPLAY_PAGE_LETTERS, 7]);
      const after = await states(topic);
      expect(after.filter((state) => state === "replayed").length).toBe(count - 1);
      expect(after[3]).toBe("waiting");
      const replayedAt = (await findDeadLetter(database, ids[0] ?? 0))?.replayed_at;
      expect(Date.parse(replayedAt ?? "")).toBeWithin(before - 1_000, Date.now() + 1_000);
    });

    test("a page holds no more bytes than its limit and one payload", async () => {
      const payload = Buffer.alloc(REPLAY_PAGE_BYTES * 0.4);
      const { topic } = await insert(5, { payload });
      const sizes: number[] = [];
      for (let after = 0; ; ) {
        const page = await replayDeadLetters(database, { topic }, { ...ALL, after }, acknowledgeAll);
        if (page === undefined) break;
        sizes.push(page.letters.length);
        after = page.lastId;
      }
      expect(sizes).toEqual([3, 2]);
      expect(await states(topic)).toEqual(Array(5).fill("replayed"));
    });

    test("what throws while it is sent marks nothing; what came later is not taken", async () => {
      const { topic, ids } = await insert(3);
      const failing = replayDeadLetters(database, { topic }, ALL, () => Promise.reject(new Error("away")));
      await expect(failing).rejects.toThrow("away");
      expect(await states(topic)).toEqual(["waiting", "waiting", "waiting"]);
      const page = await replayDeadLetters(
        database,
        { topic },
        { after: 0, through: ids[1] ?? 0 },
        acknowledgeAll,
      );
      expect(page?.letters.map(({ id }) => id)).toEqual(ids.slice(0, 2));
      expect(await states(topic)).toEqual(["replayed", "replayed", "waiting"]);
    });

    test("two replays and a discard at once share the letters: none is sent twice or given up while it is sent", async () => {
      const { topic, ids } = await insert(REPLAY_PAGE_LETTERS + 50);
      const others: number[] = [];
      await replayDeadLetters(database, { topic }, ALL, async (letters) => {
        const second = await replayDeadLetters(database, { topic }, ALL, acknowledgeAll);
        others.push(...(second?.letters.map(({ id }) => id) ?? []));
        expect(await discardDeadLetters(database, { topic }, ALL)).toBeUndefined();
        return acknowledgeAll(letters);
      });
      expect(others).toEqual(ids.slice(REPLAY_PAGE_LETTERS));
      expect(new Set(await states(topic))).toEqual(new Set(["replayed"]));
    });

    test("without a payload, or with that of a batch, there is nothing to replay; discarded ones only by id", async () => {
      const { topic } = await insert(1, { payload: null });
      await insert(1, { topic, reason: "unreadable_batch" });
      const { ids } = await insert(2, { topic });
      await discardDeadLetters(database, { topic, ids }, ALL);
      expect(await countReplayable(database, { topic })).toEqual([]);
      expect(await replayDeadLetters(database, { topic }, ALL, acknowledgeAll)).toBeUndefined();
      const named = { topic, ids: ids.slice(0, 1) };
      expect((await countReplayable(database, named)).map(({ count }) => count)).toEqual([1]);
      await replayDeadLetters(database, named, ALL, acknowledgeAll);
      expect(await states(topic)).toEqual(["waiting", "waiting", "replayed", "discarded"]);
      expect(await findDeadLetter(database, ids[0] ?? 0)).toMatchObject({ discarded_at: null });
    });

    test("a discard marks what waits and leaves the rest", async () => {
      const { topic, ids } = await insert(3);
      await replayDeadLetters(database, { ids: ids.slice(0, 1) }, ALL, acknowledgeAll);
      expect(await discardDeadLetters(database, { topic }, ALL)).toEqual({ count: 2, lastId: ids[2] ?? 0 });
      expect(await discardDeadLetters(database, { topic }, ALL)).toBeUndefined();
      expect(await states(topic)).toEqual(["replayed", "discarded", "discarded"]);
    });

    test("no role of the apps may change a dead letter", async () => {
      const { ids } = await insert(1);
      for (const role of ["timespan_writer", "timespan_reader"] as const) {
        const app = openDatabase({
          url: created.url,
          role,
          applicationName: "test",
          poolMax: 1,
          statementTimeoutMs: 30_000,
        });
        await expect(discardDeadLetters(app, { ids }, ALL)).rejects.toThrow("permission denied");
        await closeDatabase(app);
      }
    });

    test("among a hundred thousand, the next page of those that wait is found by index", async () => {
      await insert(100_000);
      await database`UPDATE timespan.dead_letters SET replayed_at = now() WHERE replayed_at IS NULL`;
      const { topic, ids } = await insert(3);
      await database`ANALYZE timespan.dead_letters`;
      const page = await replayDeadLetters(database, { topic }, ALL, acknowledgeAll);
      expect(page?.letters.map(({ id }) => id)).toEqual(ids);
      const plan = await database`
        EXPLAIN SELECT dead_letter_id FROM timespan.dead_letters
        WHERE replayed_at IS NULL AND discarded_at IS NULL AND dead_letter_id > 0 ORDER BY dead_letter_id LIMIT 500`;
      expect(plan.map((line) => line["QUERY PLAN"]).join("\n")).toContain("dead_letters_waiting");
    });
  });
}
