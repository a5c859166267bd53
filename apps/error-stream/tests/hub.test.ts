import { describe, expect, test } from "bun:test";
import { createLogger } from "@timespan/runtime/logger";
import { createRegistry } from "@timespan/runtime/metrics";
import { type Access, FULL_ACCESS } from "@timespan/telemetry/access";
import type { ErrorEvent } from "@timespan/telemetry/wire/error-event";
import { Hub, type HubLimits } from "../src/hub.ts";
import type { Subscriber } from "../src/subscriber.ts";
import { EVERYTHING, readUrlSubscription } from "../src/subscription.ts";
import { errorEvent, receivedEvent } from "./error-events.ts";
import { ManualClock } from "./manual-clock.ts";
import { ScriptedConnection } from "./scripted-connection.ts";

const LIMITS: HubLimits = {
  clientBytesMax: 1_000_000,
  clientFramesMax: 10,
  slowClientMs: 10_000,
  ring: { eventsMax: 100, bytesMax: 10_000_000 },
  retentionMs: 86_400_000,
};

function createHub(limits: Partial<HubLimits> = {}) {
  const clock = new ManualClock();
  const registry = createRegistry();
  const hub = new Hub({
    limits: { ...LIMITS, ...limits },
    clock,
    logger: createLogger("test", "silent"),
    registry,
    database: undefined,
  });
  const publish = (...events: (string | ErrorEvent)[]) =>
    hub.publish(
      events.map((event) =>
        receivedEvent(typeof event === "string" ? errorEvent(event) : event, clock.nowMs()),
      ),
    );
  const join = (query = "", access: Access = FULL_ACCESS) => {
    const connection = new ScriptedConnection();
    const subscriber = hub.enter(connection, access);
    ask(subscriber, query);
    return { connection, subscriber };
  };
  const ask = (subscriber: Subscriber, query: string) => {
    const read = readUrlSubscription(new URLSearchParams(query), clock.nowMs());
    if (!read.ok) throw new Error(JSON.stringify(read.problems));
    hub.subscribe(subscriber, read.subscription);
  };
  /** A client that was away since it got its last frame. */
  const comeBack = async (since: string | undefined, query = "") => {
    const client = join(`${query}&since=${since}`);
    await settle();
    return client.connection;
  };
  const settle = () => Bun.sleep(0);
  const metric = async (name: string) =>
    (await registry.getSingleMetric(`timespan_error_stream_${name}`)?.get())?.values[0]?.value;
  return { hub, clock, publish, join, ask, comeBack, settle, metric };
}

const ids = (source: number, from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, index) => `${source}-${from + index}-0`);

describe("live", () => {
  test("every client gets every error, in the contract's frame, with the id to come back with", () => {
    const { publish, join } = createHub();
    const clients = [join(), join()];
    const event = errorEvent("3-7-0");
    publish(event, "4-1-2");
    const { type: _, ...data } = event;
    for (const { connection } of clients) {
      expect(connection.frames[0]).toEqual({ event: "error-log", id: expect.any(String), data });
      expect(connection.frames[1]?.id).toEndWith("~3-7-0~4-1-2");
    }
  });

  test("an error that Kafka delivers twice is sent once, also when it comes back long after", () => {
    const { publish, join } = createHub();
    const { connection } = join();
    publish("1-1-0", "1-2-0", "1-1-0");
    publish("1-2-0", "1-3-0");
    expect(connection.received).toEqual(["1-1-0", "1-2-0", "1-3-0"]);
    const count = 100_001;
    publish(...ids(2, 1, count));
    const before = connection.frames.length;
    publish("1-1-0", "2-1-0", `2-${count + 1}-0`);
    expect(connection.received.slice(before)).toEqual([`2-${count + 1}-0`]);
  });

  test("what comes in one go is handed over in one go, and matched once for clients that share a filter", () => {
    const { publish, join } = createHub();
    const clients = [join("service_name=a,b"), join("service_name=b&service_name=a"), join("service_name=c")];
    let looks = 0;
    const watched = (id: string, service: string) =>
      Object.defineProperty(errorEvent(id), "service_name", {
        enumerable: true,
        get() {
          looks++;
          return service;
        },
      });
    publish(watched("1-1-0", "a"), watched("1-2-0", "b"), watched("1-3-0", "c"));
    expect(clients.map(({ connection }) => connection.received.length)).toEqual([2, 2, 1]);
    expect(clients.map(({ connection }) => connection.sends)).toEqual([1, 1, 1]);
    // For each event: the record's own JSON, and two filters that look.
    expect(looks).toBe(3 * (1 + 2));
  });
});

describe("filters", () => {
  const events = [
    errorEvent("1-1-0", { service_name: "cart", environment: "staging", labels: { tier: 1, gold: true } }),
    errorEvent("1-2-0", { service_name: "cart", message: "card 50% declined", labels: { tier: "1" } }),
    errorEvent("1-3-0", { service_name: "search", message: "Card declined", labels: {} }),
    errorEvent("1-4-0", { service_name: "search", labels: undefined }),
  ];
  test.each([
    ["", [1, 2, 3, 4]],
    ["service_name=cart", [1, 2]],
    ["service_name=cart&service_name=search", [1, 2, 3, 4]],
    ["service_name=nobody", []],
    ["environment=stage", [1]],
    ["environment=prod&service_name=search", [3, 4]],
    ["message=50%25", [2]],
    ["message=card", [2]],
    ["label.tier=1", [1, 2]],
    ["label.gold=true&label.tier=1", [1]],
    ["label.gold=false", []],
  ] as const)("%p", (query, expected) => {
    const { publish, join } = createHub();
    const { connection } = join(query);
    publish(...events);
    expect(connection.frames.map(({ data }) => data.event_id)).toEqual(
      expected.map((number) => `1-${number}-0`),
    );
  });

  test("nobody sees live what its key does not allow, whatever it asks for", () => {
    const { publish, join } = createHub();
    const access: Access = { environments: ["production"], services: ["search", "other"] };
    const clients = [
      join("", access),
      join("service_name=cart", access),
      join("service_name=search", access),
    ];
    publish(...events);
    expect(clients.map(({ connection }) => connection.received.length)).toEqual([2, 0, 2]);
  });

  test("a new subscription takes the place of the one before", () => {
    const { publish, join, ask } = createHub();
    const { connection, subscriber } = join("service_name=cart");
    publish(events[0] ?? "", events[2] ?? "");
    ask(subscriber, "service_name=search");
    publish(events[1] ?? "", events[3] ?? "");
    expect(connection.frames.map(({ data }) => data.event_id)).toEqual(["1-1-0", "1-4-0"]);
  });
});

describe("a client that does not keep up", () => {
  test("loses the oldest, is told how many where they are missing, and nobody else misses any", () => {
    const { publish, join } = createHub();
    const { connection, subscriber } = join();
    const quick = join().connection;
    publish(...ids(1, 1, 3));
    connection.room = 0;
    publish("1-4-0");
    for (const id of ids(1, 5, 40)) publish(id);
    expect(connection.received).toEqual(ids(1, 1, 3));
    connection.room = Number.POSITIVE_INFINITY;
    subscriber.drained();
    publish("1-41-0");
    const [first, ...rest] = connection.received.slice(3);
    expect(first).toBe(38 - rest.length);
    expect(rest).toEqual(ids(1, 42 - rest.length, 41));
    expect(rest.length).toBeGreaterThanOrEqual(LIMITS.clientFramesMax * 0.7);
    expect(quick.received).toEqual(ids(1, 1, 41));
  });

  test.each([
    ["frames", {}],
    ["bytes", { clientBytesMax: 2_000, clientFramesMax: 1_000_000 }],
  ])("what waits for it is bounded by %s, and what was dropped is counted", async (_, limits) => {
    const { publish, join, metric } = createHub(limits);
    const { connection, subscriber } = join();
    connection.room = 0;
    for (const id of ids(1, 1, 1_000)) publish(id);
    expect(subscriber.queuedBytes).toBeLessThanOrEqual(Math.max(2_000, 12 * 300));
    connection.room = Number.POSITIVE_INFINITY;
    subscriber.drained();
    const [dropped, ...rest] = connection.received;
    expect(Number(dropped) + rest.length).toBe(1_000);
    expect(await metric("drops_total")).toBe(Number(dropped));
    expect(subscriber.queuedBytes).toBe(0);
  });

  test("takes what waits bit by bit, in order, also while more comes", () => {
    const { publish, join } = createHub({ clientFramesMax: 1_000 });
    const { connection, subscriber } = join();
    connection.room = 0;
    for (let number = 1; number <= 50; number++) {
      publish(`1-${number}-0`);
      if (number % 5 !== 0) continue;
      connection.room = 3;
      subscriber.drained();
    }
    connection.room = Number.POSITIVE_INFINITY;
    subscriber.drained();
    expect(connection.received).toEqual(ids(1, 1, 50));
  });

  test("is closed with 1013 when its socket takes nothing for too long, and not when it takes a little", async () => {
    const { publish, join, clock, metric } = createHub();
    const stalled = join();
    const slow = join();
    for (const { connection } of [stalled, slow]) connection.room = 0;
    publish(...ids(1, 1, 100));
    for (let waited = 0; waited < 5; waited++) {
      clock.pass(6_000);
      slow.connection.room = 1;
      slow.subscriber.drained();
    }
    expect(stalled.connection.closed).toEqual([1013, "too slow"]);
    expect(slow.connection.closed).toBeUndefined();
    expect(await metric("slow_clients_closed_total")).toBeGreaterThan(0);
  });

  test("costs nothing more once it is gone", () => {
    const { hub, publish, join } = createHub();
    const { connection, subscriber } = join();
    connection.room = 0;
    publish(...ids(1, 1, 5));
    hub.leave(subscriber);
    expect(subscriber.queuedBytes).toBe(0);
    connection.room = 100;
    publish("1-6-0");
    subscriber.drained();
    expect(connection.frames).toEqual([]);
  });
});

describe("replay from memory", () => {
  test("a client that comes back with the id of its last frame misses nothing and gets nothing twice", async () => {
    const { publish, join, comeBack } = createHub();
    const first = join().connection;
    publish("1-1-0", "2-1-0", "1-2-0", "2-2-0", "1-3-0");
    for (const [index, { id }] of first.frames.entries()) {
      const connection = await comeBack(id);
      expect(connection.received).toEqual(first.received.slice(index + 1));
    }
  });

  test("on another instance, which saw the sources interleaved differently, too", async () => {
    const here = createHub();
    const there = createHub();
    const seen = here.join().connection;
    here.publish("1-1-0", "2-1-0", "2-2-0", "1-2-0", "1-3-0", "2-3-0");
    there.publish("2-1-0", "2-2-0", "2-3-0", "1-1-0", "1-2-0", "1-3-0");
    for (const [index, { id }] of seen.frames.entries()) {
      const had = seen.received.slice(0, index + 1);
      const connection = await there.comeBack(id);
      expect([...had, ...connection.received].sort()).toEqual([...ids(1, 1, 3), ...ids(2, 1, 3)]);
      // And when it breaks off again there, with whatever frame, it goes on here.
      for (const [again, { id: next }] of connection.frames.entries()) {
        const third = await here.comeBack(next);
        const all = [...had, ...connection.received.slice(0, again + 1), ...third.received];
        expect(all.sort()).toEqual([...ids(1, 1, 3), ...ids(2, 1, 3)]);
      }
    }
  });

  test("what another instance has sent already and this one only now gets is not sent twice", async () => {
    const here = createHub();
    const there = createHub();
    const seen = here.join().connection;
    here.publish("1-1-0", "1-2-0", "1-3-0");
    there.publish("1-1-0");
    const connection = await there.comeBack(seen.frames[2]?.id);
    there.publish("1-2-0");
    await there.settle();
    there.publish("1-3-0", "1-4-0");
    await there.settle();
    there.publish("1-5-0");
    await there.settle();
    expect(connection.received).toEqual(["1-4-0", "1-5-0"]);
  });

  test("what comes while a slow client replays comes once, after the replay", async () => {
    const { publish, join, settle } = createHub({ clientFramesMax: 5 });
    publish(...ids(1, 1, 60));
    const { connection, subscriber } = join("last=50");
    connection.room = 1;
    for (let number = 61; number <= 80; number++) {
      publish(`1-${number}-0`);
      connection.room = 2;
      subscriber.drained();
      await settle();
    }
    connection.room = Number.POSITIVE_INFINITY;
    subscriber.drained();
    await settle();
    publish("1-81-0");
    expect(connection.received).toEqual(ids(1, 11, 81));
  });

  test("last=n sends the newest n that match, in order", async () => {
    const { publish, join, settle } = createHub();
    publish(...ids(1, 1, 10), errorEvent("2-1-0", { service_name: "cart" }), ...ids(1, 11, 20));
    const all = join("last=3").connection;
    const some = join("last=2&service_name=cart").connection;
    const none = join("last=0").connection;
    await settle();
    publish("1-21-0");
    expect(all.received).toEqual(ids(1, 18, 21));
    expect(some.received.at(-1)).toBe("2-1-0");
    expect(none.received).toEqual(["1-21-0"]);
  });

  test("since=<time> sends what happened from then on", async () => {
    const { publish, join, settle } = createHub();
    const at = (id: string, timestamp: string) => errorEvent(id, { timestamp });
    publish(
      at("1-1-0", "2026-11-21T14:00:00.000000Z"),
      at("1-2-0", "2026-11-21T14:00:00.000001Z"),
      at("1-3-0", "2026-11-21T13:00:00.000000Z"),
      at("1-4-0", "2026-11-21T14:30:00.000000Z"),
    );
    const { connection } = join("since=2026-11-21T14:00:00.000001Z");
    await settle();
    expect(connection.received).toEqual(["1-2-0", "1-4-0"]);
  });

  test("since=<event_id> goes on after that event", async () => {
    const { publish, comeBack } = createHub();
    publish("1-1-0", "2-1-0", "1-2-0", "2-2-0");
    expect((await comeBack("2-1-0")).received).toEqual(["1-2-0", "2-2-0"]);
  });

  test("asking further back than what is kept is said in a frame, and then comes what is kept", async () => {
    const { publish, join, comeBack } = createHub({ ring: { eventsMax: 5, bytesMax: 1_000_000 } });
    const first = join().connection;
    publish("1-1-0");
    publish(...ids(1, 2, 10));
    const connection = await comeBack(first.frames[0]?.id);
    expect(connection.received.filter((each) => each !== "incomplete")).toEqual(ids(1, 6, 10));
    const early = join("since=2026-11-21T10:00:00Z").connection;
    await Bun.sleep(0);
    expect(early.frames[0]).toEqual({
      event: "incomplete",
      data: { detail: expect.any(String), kept_from: "2026-11-21T14:59:00.000000Z" },
    });
    expect(early.received.slice(1)).toEqual(ids(1, 6, 10));
  });

  test("memory is bounded by events and by bytes", async () => {
    const { publish, metric } = createHub({ ring: { eventsMax: 1_000, bytesMax: 100_000 } });
    for (let number = 0; number < 500; number++) {
      publish(errorEvent(`1-${number}-0`, { message: "x".repeat(1_000) }));
    }
    expect(await metric("ring_bytes")).toBeLessThanOrEqual(100_000);
    expect(await metric("ring_events")).toBeGreaterThan(10);
  });
});

test("a stop tells every client that the server goes away and when to come back, each another time", () => {
  const { hub, join } = createHub();
  const clients = Array.from({ length: 20 }, () => join().connection);
  hub.closeAll();
  const retries = clients.map(({ closed: [code, reason] = [0, "{}"] }) => {
    expect(code).toBe(1001);
    return JSON.parse(reason).retry_ms;
  });
  expect(new Set(retries).size).toBeGreaterThan(10);
  for (const retryMs of retries) expect(retryMs).toBeWithin(0, 5_000);
});

test("a client that has not subscribed gets nothing", () => {
  const { hub, publish } = createHub();
  const connection = new ScriptedConnection();
  const subscriber = hub.enter(connection, FULL_ACCESS);
  publish("1-1-0");
  hub.subscribe(subscriber, { filter: EVERYTHING, replay: undefined });
  publish("1-2-0");
  expect(connection.received).toEqual(["1-2-0"]);
});
