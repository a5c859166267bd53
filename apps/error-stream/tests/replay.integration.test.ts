/** Replay from the store, on both engines of it: with what is in memory, everything once. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { systemClock } from "@timespan/runtime/clock";
import { createLogger } from "@timespan/runtime/logger";
import { createRegistry } from "@timespan/runtime/metrics";
import { closeDatabase, type Database, openDatabase } from "@timespan/store/database";
import { readSourceOffsets } from "@timespan/store/ingest/read-source-offsets";
import { type Access, FULL_ACCESS } from "@timespan/telemetry/access";
import type { ErrorEvent } from "@timespan/telemetry/wire/error-event";
import { logEvent, uniqueName } from "@timespan/testing/events";
import { eventually } from "@timespan/testing/run-app";
import { createTestDatabase, type TestDatabase } from "@timespan/testing/test-database";
import { testEngines } from "@timespan/testing/test-environment";
import { Hub } from "../src/hub.ts";
import { readUrlSubscription } from "../src/subscription.ts";
import { receivedEvent } from "./error-events.ts";
import { ScriptedConnection } from "./scripted-connection.ts";
import { storeErrors } from "./store-errors.ts";

const RING_EVENTS = 30;
const RETENTION_MS = 86_400_000;

for (const { engine, present } of testEngines()) {
  describe.skipIf(!present)(`replay from ${engine}`, () => {
    let created: TestDatabase;
    let writer: Database;
    let reader: Database;

    const open = (role: "timespan_writer" | "timespan_reader") =>
      openDatabase({
        url: created.url,
        role,
        applicationName: "replay test",
        poolMax: 4,
        statementTimeoutMs: 10_000,
      });
    // A database each: who replays sees everybody's errors.
    beforeEach(async () => {
      created = await createTestDatabase(engine);
      writer = open("timespan_writer");
      reader = open("timespan_reader");
    });
    afterEach(async () => {
      await Promise.all([closeDatabase(writer), closeDatabase(reader)]);
      await created.drop();
    });

    const createHub = (database: Database = reader) =>
      new Hub({
        limits: {
          clientBytesMax: 100_000_000,
          clientFramesMax: 100_000,
          slowClientMs: 60_000,
          ring: { eventsMax: RING_EVENTS, bytesMax: 10_000_000 },
          retentionMs: RETENTION_MS,
        },
        clock: systemClock,
        logger: createLogger("test", "silent"),
        registry: createRegistry(),
        database,
      });

    const received = (events: readonly ErrorEvent[]) =>
      events.map((event) => receivedEvent(event, systemClock.nowMs()));

    async function join(hub: Hub, query: string, access: Access = FULL_ACCESS): Promise<ScriptedConnection> {
      const connection = new ScriptedConnection();
      const subscriber = hub.enter(connection, access);
      const read = readUrlSubscription(new URLSearchParams(query), systemClock.nowMs());
      if (!read.ok) throw new Error(JSON.stringify(read.problems));
      hub.subscribe(subscriber, read.subscription);
      return connection;
    }

    /** Stores logs in several partitions bit by bit; the errors in the order in which they were forwarded. */
    async function storeSome(
      hubs: readonly Hub[],
      { rounds = 12, logsEach = 20, service = "checkout" } = {},
    ): Promise<ErrorEvent[]> {
      const topic = uniqueName("logs");
      const forwarded: ErrorEvent[] = [];
      for (let round = 0; round < rounds; round++) {
        const partition = (round * 7) % 3;
        const logs = Array.from({ length: logsEach }, (_, index) =>
          logEvent({
            level: index % 4 === 3 ? "INFO" : "ERROR",
            // Times go back and forth within a source, and two are often the same.
            timestamp: new Date(
              systemClock.nowMs() - 600_000 + ((index * 37) % 11) * 1_000 + round * 20_000,
            ).toISOString(),
            service_name: index % 5 === 0 ? "cart" : service,
            environment: index % 3 === 0 ? "staging" : "production",
            message: `error ${round}/${index} 100%`,
            labels: { number: index, even: String(index % 2 === 0), name: `n${index}` },
          }),
        );
        await storeErrors(writer, topic, partition, logs, (events) => {
          forwarded.push(...events);
          for (const hub of hubs) hub.publish(received(events));
        });
      }
      return forwarded;
    }

    const idsOf = (connection: ScriptedConnection) =>
      connection.frames.filter(({ event }) => event === "error-log").map(({ data }) => String(data.event_id));
    const until = (connection: ScriptedConnection, count: number) =>
      eventually(() => idsOf(connection).length >= count, { what: `${count} errors` });

    test("whenever a client breaks off, with what it got and what is replayed it has everything once", async () => {
      const hub = createHub();
      const witness = await join(hub, "");
      const forwarded = await storeSome([hub]);
      const all = forwarded.map(({ event_id }) => event_id);
      expect(all.length).toBeGreaterThan(5 * RING_EVENTS);
      expect(idsOf(witness)).toEqual(all);
      for (const brokeAfter of [1, 7, 60, all.length - RING_EVENTS - 1, all.length - 5, all.length]) {
        const client = await join(hub, `since=${witness.frames[brokeAfter - 1]?.id}`);
        await until(client, all.length - brokeAfter);
        expect([...all.slice(0, brokeAfter), ...idsOf(client)].sort()).toEqual(all.toSorted());
        // And broken off again within what the store gave.
        const again = await join(hub, `since=${client.frames[3]?.id ?? witness.frames.at(-1)?.id}`);
        const had = [...all.slice(0, brokeAfter), ...idsOf(client).slice(0, 4)];
        await until(again, all.length - had.length);
        expect([...had, ...idsOf(again)].sort()).toEqual(all.toSorted());
      }
    });

    test("also when the server was started anew meanwhile, and remembers nothing of it", async () => {
      const before = createHub();
      const witness = await join(before, "");
      const forwarded = await storeSome([before], { rounds: 6 });
      const storedUpTo = await readSourceOffsets(reader);
      const after = createHub();
      const backlog = forwarded.slice(-10);
      after.takeBacklog(received(backlog), storedUpTo, false);
      const all = forwarded.map(({ event_id }) => event_id);
      const client = await join(after, `since=${witness.frames[4]?.id}`);
      await until(client, all.length - 5);
      expect([...all.slice(0, 5), ...idsOf(client)].sort()).toEqual(all.toSorted());
      // A client that joined the new one before anything came has a cursor for every source, too.
      const fresh = await join(after, "last=1");
      await until(fresh, 1);
      expect(idsOf(fresh)).toEqual(all.slice(-1));
    });

    test("what is replayed looks exactly like what was sent live, and comes by time", async () => {
      const hub = createHub();
      const witness = await join(hub, "");
      const forwarded = await storeSome([hub], { rounds: 8 });
      const client = await join(hub, "last=10000");
      await until(client, forwarded.length);
      const byId = (frames: ScriptedConnection["frames"]) =>
        new Map(frames.map(({ event, data }) => [data.event_id, { event, data }]));
      expect(byId(client.frames)).toEqual(byId(witness.frames));
      const fromStore = client.frames.slice(0, -RING_EVENTS);
      const minutes = fromStore.map(({ data }) => Date.parse(String(data.timestamp)) / 20_000);
      for (const [index, each] of minutes.entries()) {
        expect(each).toBeGreaterThan((minutes[index - 1] ?? 0) - 1);
      }
    });

    test.each([
      ["service_name=cart", FULL_ACCESS],
      ["environment=staging&message=100%25", FULL_ACCESS],
      ["label.number=4&label.even=true", FULL_ACCESS],
      ["message=nowhere", FULL_ACCESS],
      ["service_name=cart,checkout", { environments: ["production"], services: ["cart", "other"] }],
      ["", { environments: ["staging"], services: null }],
    ] as const)("filters and keys mean the same in the store as live: %p %p", async (query, access) => {
      const hub = createHub();
      const witness = await join(hub, query, access);
      await storeSome([hub], { rounds: 6 });
      const live = idsOf(witness);
      const everything = await join(hub, "");
      await storeSome([hub], { rounds: 1 });
      const mark = idsOf(everything).length;
      const client = await join(hub, `${query}&last=10000`, access);
      await until(client, live.length);
      await Bun.sleep(50);
      expect(idsOf(client).toSorted()).toEqual(idsOf(witness).toSorted());
      expect(mark).toBeGreaterThan(0);
    });

    test("since=<time> and last=<n> reach beyond memory", async () => {
      const hub = createHub();
      const forwarded = await storeSome([hub]);
      const from = forwarded.toSorted((a, b) => a.timestamp.localeCompare(b.timestamp))[40]?.timestamp ?? "";
      const expected = forwarded.filter(({ timestamp }) => timestamp >= from);
      const since = await join(hub, `since=${from}`);
      await until(since, expected.length);
      expect(idsOf(since).toSorted()).toEqual(expected.map(({ event_id }) => event_id).sort());

      const last = await join(hub, `last=${RING_EVENTS + 20}`);
      await until(last, RING_EVENTS + 20);
      expect(idsOf(last).slice(-RING_EVENTS)).toEqual(
        forwarded.slice(-RING_EVENTS).map(({ event_id }) => event_id),
      );
      expect(new Set(idsOf(last)).size).toBe(RING_EVENTS + 20);

      const event = forwarded[10];
      const after = await join(hub, `since=${event?.event_id}`);
      const later = forwarded.filter(
        ({ event_id, timestamp }) => event_id !== event?.event_id && timestamp >= (event?.timestamp ?? ""),
      );
      await eventually(() => idsOf(after).length > 0, { what: "what follows the event" });
      await Bun.sleep(100);
      for (const id of idsOf(after)) expect(later.map(({ event_id }) => event_id)).toContain(id);
    });

    test("asking for what is no longer kept is said, and then comes what is", async () => {
      const hub = createHub();
      const forwarded = await storeSome([hub], { rounds: 3 });
      const client = await join(hub, "since=now-2d");
      await until(client, forwarded.length);
      expect(client.frames[0]).toMatchObject({
        event: "incomplete",
        data: { detail: expect.stringContaining("not kept") },
      });
      expect(idsOf(client).toSorted()).toEqual(forwarded.map(({ event_id }) => event_id).sort());
    });

    test("an error that is through Kafka and not yet stored is waited for", async () => {
      const hub = createHub();
      const topic = uniqueName("logs");
      const errors = (count: number) =>
        Array.from({ length: count }, () => logEvent({ level: "ERROR", message: uniqueName("m") }));
      await storeErrors(writer, topic, 0, errors(1), (events) => hub.publish(received(events)));
      const witness = await join(hub, "last=1");
      let client: ScriptedConnection | undefined;
      const logs = errors(2 * RING_EVENTS);
      const all: string[] = [];
      // Within the batch: its errors are out, its rows are not written.
      const joined = Promise.withResolvers<void>();
      await storeErrors(writer, topic, 0, logs, (events) => {
        hub.publish(received(events));
        all.push(...events.map(({ event_id }) => event_id));
        join(hub, `since=${witness.frames[0]?.id}`).then((connection) => {
          client = connection;
          joined.resolve();
        }, joined.reject);
      });
      await joined.promise;
      if (client === undefined) throw new Error("not joined");
      await until(client, all.length);
      expect(idsOf(client)).toEqual(all);
      expect(client.frames.every(({ event }) => event === "error-log")).toBe(true);
    });

    test("without the store a client is told what is missing, and gets what is in memory", async () => {
      const gone = openDatabase({
        url: "postgres://nobody@127.0.0.1:1/nothing",
        applicationName: "replay test",
        poolMax: 1,
        statementTimeoutMs: 1_000,
      });
      const hub = createHub(gone);
      const witness = await join(hub, "");
      const forwarded = await storeSome([hub], { rounds: 6 });
      const client = await join(hub, `since=${witness.frames[0]?.id}`);
      await until(client, RING_EVENTS);
      expect(client.frames[0]).toMatchObject({
        event: "incomplete",
        data: { detail: expect.stringContaining("store") },
      });
      expect(idsOf(client)).toEqual(forwarded.slice(-RING_EVENTS).map(({ event_id }) => event_id));
      await closeDatabase(gone, 0);
    });
  });
}
