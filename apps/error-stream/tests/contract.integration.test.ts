/** What clients may rely on, held against both engines as real processes behind a real Kafka. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createApiKey } from "@timespan/store/api-keys/create-api-key";
import { revokeApiKey } from "@timespan/store/api-keys/revoke-api-key";
import type { Database } from "@timespan/store/database";
import { FULL_ACCESS } from "@timespan/telemetry/access";
import { uniqueName } from "@timespan/testing/events";
import { produce } from "@timespan/testing/produce";
import { eventually, type RunningApp } from "@timespan/testing/run-app";
import { createTestDatabase, openAsSuperuser, type TestDatabase } from "@timespan/testing/test-database";
import { testEnvironment } from "@timespan/testing/test-environment";
import { engines } from "./engines.ts";
import { errorEvent } from "./error-events.ts";
import {
  clientFrame,
  connect,
  connectEventStream,
  connectRaw,
  connectRawWebSocket,
  PATH,
  UPGRADE,
} from "./live-client.ts";

/** Few enough to be dropped in a test, and enough to tell them from none. */
const BUFFER_EVENTS = 2_000;
/** Far more than a kernel takes for a socket that is not read. */
const STORM_EVENTS = 12_000;

for (const engine of engines) {
  describe.skipIf(engine.missing !== undefined)(`the live channel on ${engine.name}`, () => {
    const topic = uniqueName("errors");
    const env = {
      KAFKA_BROKERS: testEnvironment().kafkaBrokers.join(","),
      KAFKA_APM_LOG_ERROR_TOPIC: topic,
      KAFKA_TOPIC_PARTITIONS: "2",
      ERROR_STREAM_CLIENT_BUFFER_EVENTS: String(BUFFER_EVENTS),
      ERROR_STREAM_CLIENTS_PER_ADDRESS_MAX: "50",
    };
    let app: RunningApp;
    let offset = 0;
    const nextId = () => `1-${offset++}-0`;

    beforeAll(async () => {
      app = await engine.run(env);
    });
    afterAll(() => app?.stop());

    /** Sends an error that a test can wait for. */
    async function sendMark(fields: Parameters<typeof errorEvent>[1] = {}): Promise<string> {
      const message = uniqueName("mark");
      await produce(topic, [errorEvent(nextId(), { message, ...fields })]);
      return message;
    }

    describe("errors", () => {
      test("come from the live end, each once, in the contract's frame", async () => {
        const before = await connect(app.url);
        const old = await sendMark();
        await before.until(({ data }) => data.message === old, "the error before");
        before.socket.close();
        const client = await connect(app.url);
        const events = [
          errorEvent(nextId(), { message: "first" }),
          errorEvent(nextId(), { message: "second" }),
        ];
        await produce(topic, [...events, ...events.slice(0, 1), "not JSON", "{}"]);
        const last = await sendMark();
        await client.until(({ data }) => data.message === last, "the last error");
        expect(client.messages().sort()).toEqual(["first", last, "second"].sort());
        const { type: _, ...data } = events[0] ?? errorEvent("");
        expect(client.frames.find(({ data: got }) => got.message === "first")).toEqual({
          event: "error-log",
          id: expect.any(String),
          data,
        });
        client.socket.close();
      });

      test("with every character of Unicode arrive as they were", async () => {
        const client = await connect(app.url);
        const message = `${uniqueName("text")} äöü – 漢字 😀 \u2028 "quoted" \\ \n\t`;
        await produce(topic, [errorEvent(nextId(), { message })]);
        await client.until(({ data }) => data.message === message, "the text");
        client.socket.close();
      });

      test("reach clients of two instances, all of them", async () => {
        const other = await engine.run(env);
        const clients = [await connect(app.url), await connect(other.url)];
        const mark = await sendMark();
        for (const client of clients) await client.until(({ data }) => data.message === mark, "the error");
        await other.stop();
        expect(await other.exited).toBe(0);
        const closed = await clients[1]?.closed;
        expect(closed?.code).toBe(1001);
        expect(JSON.parse(closed?.reason ?? "{}").retry_ms).toBeWithin(0, 5_000);
        clients[0]?.socket.close();
      });
    });

    describe("filters", () => {
      test("in the URL and by a message, which is answered", async () => {
        const [cart, search] = [uniqueName("cart"), uniqueName("search")];
        const client = await connect(app.url, `?service_name=${cart}`);
        await sendMark({ service_name: search });
        const first = await sendMark({ service_name: cart });
        await client.until(({ data }) => data.message === first, "the error of the cart");
        client.ask({ service_name: [search], environment: "prod", message: "mark", label: { region: "eu" } });
        expect((await client.until(({ event }) => event === "subscribed", "the answer")).data).toEqual({
          service_name: [search],
          environment: ["production"],
          message: "mark",
          label: { region: "eu" },
        });
        await sendMark({ service_name: cart });
        await sendMark({ service_name: search, environment: "staging" });
        const second = await sendMark({ service_name: search });
        await client.until(({ data }) => data.message === second, "the error of the search");
        expect(client.messages()).toEqual([first, second]);
        client.socket.close();
      });

      test("that are wrong are answered by a frame that says what is wrong; what was asked for before stays", async () => {
        const client = await connect(app.url);
        for (const message of [
          "nonsense",
          "[1]",
          '{"subscribe":{"service":"cart"}}',
          '{"subscribe":{"since":"yesterday","last":"many"}}',
        ]) {
          client.socket.send(message);
        }
        await eventually(() => client.frames.length === 4, { what: "four answers" });
        expect(client.frames.map(({ event }) => event)).toEqual(["error", "error", "error", "error"]);
        expect(JSON.stringify(client.frames[2]?.data)).toContain("service");
        expect(client.frames[3]?.data.errors).toMatchObject([
          { name: "since" },
          { name: "last" },
          { name: "last" },
        ]);
        const mark = await sendMark();
        await client.until(({ data }) => data.message === mark, "an error");
        client.socket.close();
      });

      test("that are wrong in the URL are answered by a frame and a close: nobody waits in vain all day", async () => {
        const client = await connect(app.url, "?service=cart&last=-1");
        expect((await client.closed).code).toBe(1008);
        expect(client.frames).toEqual([
          {
            event: "error",
            data: {
              detail: expect.any(String),
              errors: [
                { name: "service", reason: expect.stringContaining("service_name") },
                { name: "last", reason: expect.any(String) },
              ],
            },
          },
        ]);
      });
    });

    describe("replay", () => {
      test("after a break nothing is missing and nothing comes twice, also when the server was started anew", async () => {
        const service = uniqueName("svc");
        const query = `?service_name=${service}`;
        const before = await connect(app.url, query);
        const sent = [await sendMark({ service_name: service }), await sendMark({ service_name: service })];
        await eventually(() => before.messages().length === 2, { what: "two errors" });
        const { id } = before.frames[0] ?? {};
        before.socket.close();
        sent.push(await sendMark({ service_name: service }));
        const restarted = await engine.run(env);
        for (const { url } of [app, restarted]) {
          const after = await connect(url, `${query}&since=${id}`);
          await eventually(() => after.messages().length === 2, { what: "what was missed" });
          expect(after.messages()).toEqual(sent.slice(1));
          after.socket.close();
        }
        await restarted.stop();
      });

      test("by last=n, by the id of an event and by a time", async () => {
        const service = uniqueName("svc");
        const ids = [nextId(), nextId(), nextId()];
        const at = new Date().toISOString();
        // One produce call a record: a call spreads its records over the partitions, which are read in any order.
        for (const id of ids)
          await produce(topic, [errorEvent(id, { service_name: service, timestamp: at })]);
        const live = await sendMark();
        const witness = await connect(app.url, "?last=1");
        await witness.until(({ data }) => data.message === live, "the last error");
        for (const [query, expected] of [
          ["last=2", ids.slice(1)],
          [`since=${ids[1]}`, ids.slice(2)],
          [`since=${at}`, ids],
        ] as const) {
          const client = await connect(app.url, `?service_name=${service}&${query}`);
          await eventually(() => client.messages().length >= expected.length, { what: query });
          expect(client.messages().toSorted()).toEqual(expected.toSorted());
          client.socket.close();
        }
        witness.socket.close();
      });
    });

    const sendStorm = (service: string) =>
      produce(
        topic,
        Array.from({ length: STORM_EVENTS }, () =>
          errorEvent(nextId(), { service_name: service, message: "x".repeat(1_000) }),
        ),
      );

    /** Waits until every event of a storm is there or told to be dropped; the numbers of both. */
    async function accountFor(
      delivered: () => number,
      dropped: () => number,
    ): Promise<{ delivered: number; dropped: number }> {
      await eventually(() => delivered() + dropped() >= STORM_EVENTS, {
        timeoutMs: 30_000,
        what: "all events or word of them",
      });
      return { delivered: delivered(), dropped: dropped() };
    }
    const count = (text: string, pattern: RegExp) => (text.match(pattern) ?? []).length;
    const sum = (text: string, pattern: RegExp) =>
      [...text.matchAll(pattern)].reduce((total, [, each]) => total + Number(each), 0);

    describe("a client that does not read", () => {
      test("gets everything but exactly what it is told was dropped, and costs others nothing", async () => {
        const service = uniqueName("svc");
        const slow = await connectRawWebSocket(app.url, `?service_name=${service}`);
        const quick = await connect(app.url, `?service_name=${service}`);
        slow.pause();
        await sendStorm(service);
        const others = await accountFor(
          () => quick.messages().length,
          () =>
            quick.frames.reduce(
              (total, { event, data }) => total + (event === "dropped" ? Number(data.count) : 0),
              0,
            ),
        );
        expect(others.delivered + others.dropped).toBe(STORM_EVENTS);
        slow.resume();
        const own = await accountFor(
          () => count(slow.text(), /"event":"error-log"/g),
          () => sum(slow.text(), /"event":"dropped","data":\{"count":(\d+)\}/g),
        );
        expect(own.delivered + own.dropped).toBe(STORM_EVENTS);
        expect(own.dropped).toBeGreaterThan(0);
        expect(own.delivered).toBeGreaterThanOrEqual(BUFFER_EVENTS / 2);
        slow.end();
        quick.socket.close();
      });

      test("and asks for a replay gets all of it, at its own pace", async () => {
        await sendStorm(uniqueName("svc"));
        const mark = await sendMark();
        const quick = await connect(app.url, "?last=1");
        await quick.until(({ data }) => data.message === mark, "the end of the storm");
        quick.socket.close();
        const EVENTS = 8_000;
        const slow = await connectRawWebSocket(app.url);
        slow.pause();
        slow.write(clientFrame(1, JSON.stringify({ subscribe: { last: EVENTS } })));
        await Bun.sleep(500);
        const after = await sendMark();
        slow.resume();
        await eventually(() => slow.text().includes(after), {
          timeoutMs: 30_000,
          what: "the replay, and what came after",
        });
        expect(count(slow.text(), /"event":"error-log"/g)).toBe(EVENTS + 1);
        expect(slow.text()).not.toContain('"event":"dropped"');
        slow.end();
      });

      test("and goes on not reading is closed, and its place is free", async () => {
        const impatient = await engine.run({ ...env, ERROR_STREAM_SLOW_CLIENT_MS: "1000" });
        const metrics = async () => (await fetch(`${impatient.url}/metrics`)).text();
        const stalled = await connectRawWebSocket(impatient.url);
        const stalledStream = await connectRaw(impatient.url);
        stalledStream.write("GET /sse/error-logs HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
        await eventually(() => stalledStream.text().includes("retry: "), { what: "the stream" });
        for (const client of [stalled, stalledStream]) client.pause();
        await sendStorm(uniqueName("svc"));
        await eventually(async () => /slow_clients_closed_total\S* 2$/m.test(await metrics()), {
          what: "the slow clients to be closed",
        });
        expect(await metrics()).toMatch(/error_stream_clients\S* 0$/m);
        for (const client of [stalled, stalledStream]) client.resume();
        await Promise.all([stalled.closed, stalledStream.closed]);
        // The close frame stands behind what the engine still held: 1013, in its two bytes.
        expect(stalled.text()).toContain("\u0003\u00f5too slow");
        await impatient.stop();
      });
    });

    describe("Server-Sent Events", () => {
      test("have the same filters, and go on after Last-Event-ID", async () => {
        const service = uniqueName("svc");
        const first = await connectEventStream(app.url, `?service_name=${service}`);
        await sendMark();
        const sent = [await sendMark({ service_name: service }), await sendMark({ service_name: service })];
        await eventually(() => first.messages().length === 2, { what: "two errors" });
        expect(first.messages()).toEqual(sent);
        expect(Number(first.events[0]?.retry)).toBeGreaterThan(0);
        const id = first.events.find(({ event }) => event === "error-log")?.id;
        first.stop();
        sent.push(await sendMark({ service_name: service }));
        const second = await connectEventStream(app.url, `?service_name=${service}`, {
          "last-event-id": id ?? "",
        });
        await eventually(() => second.messages().length === 2, { what: "what was missed" });
        expect(second.messages()).toEqual(sent.slice(1));
        second.stop();
      });

      test("answer 400 to a bad filter", async () => {
        const response = await fetch(`${app.url}/sse/error-logs?service=cart`);
        expect(response.status).toBe(400);
        expect(await response.text()).toContain("service_name");
      });

      test("drop for a client that does not read, and say how many", async () => {
        const service = uniqueName("svc");
        const slow = await connectRaw(app.url);
        slow.write(`GET /sse/error-logs?service_name=${service} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`);
        await eventually(() => slow.text().includes("retry: "), { what: "the stream" });
        slow.pause();
        await sendStorm(service);
        const after = await sendMark();
        const live = await connect(app.url, "?last=1");
        await live.until(({ data }) => data.message === after, "the end of the storm");
        live.socket.close();
        slow.resume();
        const own = await accountFor(
          () => count(slow.text(), /event: error-log/g),
          () => sum(slow.text(), /event: dropped\ndata: \{"count":(\d+)\}/g),
        );
        expect(own.delivered + own.dropped).toBe(STORM_EVENTS);
        expect(own.dropped).toBeGreaterThan(0);
        slow.end();
      });
    });

    describe("who may connect", () => {
      test.each([
        ["/", 200],
        ["/health", 200],
        ["/ready", 200],
        ["/metrics", 200],
        ["/nothing", 404],
        [PATH, 426],
      ])("GET %s answers %d", async (path, status) => {
        expect((await fetch(app.url + path)).status).toBe(status);
        const head = await fetch(app.url + path, { method: "HEAD" });
        expect([head.status, await head.text()]).toEqual([path === PATH ? 426 : status, ""]);
      });

      test("another method is refused", async () => {
        for (const path of ["/health", "/sse/error-logs"]) {
          // A connection of its own: an engine may close one on which it answered what it does not serve.
          const response = await fetch(app.url + path, { method: "POST", keepalive: false });
          expect(response.status).toBe(405);
        }
      });

      test("a page of another origin may not", async () => {
        await expect(connect(app.url, "", { headers: { origin: "https://evil.example" } })).rejects.toThrow();
        const own = await connect(app.url, "", { headers: { origin: app.url } });
        own.socket.close();
        const response = await fetch(`${app.url}/sse/error-logs`, {
          headers: { origin: "https://evil.example" },
        });
        expect(response.status).toBe(403);
      });

      test("not more than the limit of one address, and the next one when a place is free", async () => {
        const clients: Awaited<ReturnType<typeof connect>>[] = [];
        await expect(
          (async () => {
            for (;;) clients.push(await connect(app.url));
          })(),
        ).rejects.toThrow();
        expect(clients.length).toBeWithin(40, 51);
        const refused = await fetch(`${app.url}/sse/error-logs`);
        expect([refused.status, refused.headers.get("retry-after")]).toEqual([429, "5"]);
        for (const { socket } of clients) socket.close();
        await Promise.all(clients.map(({ closed }) => closed));
        const next = await connect(app.url);
        next.socket.close();
      });
    });

    describe("hostile clients", () => {
      const closesIt = async (bytes: Uint8Array) => {
        const client = await connectRawWebSocket(app.url);
        client.write(bytes);
        await client.closed;
      };

      test("who send a huge frame, invalid UTF-8 or no frame at all are closed, and others are not affected", async () => {
        const other = await connect(app.url);
        await closesIt(clientFrame(1, "x".repeat(100_000)));
        await closesIt(clientFrame(1, Buffer.from([0xff, 0xfe, 0xfd])));
        await closesIt(Buffer.from("GET / HTTP/1.1\r\n\r\n"));
        const mark = await sendMark();
        await other.until(({ data }) => data.message === mark, "an error");
        other.socket.close();
      });

      test("who send a thousand messages a second are closed, and cost nobody else anything", async () => {
        const other = await connect(app.url);
        const hostile = await connect(app.url);
        for (let index = 0; index < 1_000; index++) hostile.ask({ last: 100, service_name: `svc-${index}` });
        expect((await hostile.closed).code).toBe(1008);
        const mark = await sendMark();
        await other.until(({ data }) => data.message === mark, "an error");
        other.socket.close();
      });

      test("who open ten thousand connections get as many as one address may, and others go on", async () => {
        const other = await connect(app.url);
        const open: Awaited<ReturnType<typeof connectRaw>>[] = [];
        let refused = 0;
        for (let batch = 0; batch < 100; batch++) {
          await Promise.all(
            Array.from({ length: 100 }, async () => {
              const client = await connectRaw(app.url);
              client.write(UPGRADE());
              await eventually(() => client.text().includes("\r\n\r\n"), { what: "an answer" });
              if (client.text().startsWith("HTTP/1.1 101")) open.push(client);
              else {
                expect(client.text()).toStartWith("HTTP/1.1 429");
                refused++;
                client.terminate();
              }
            }),
          );
        }
        expect(open.length).toBeWithin(40, 51);
        expect(open.length + refused).toBe(10_000);
        const mark = await sendMark();
        await other.until(({ data }) => data.message === mark, "an error");
        other.socket.close();
        for (const client of open) client.terminate();
        const connected = async () => {
          const metrics = await (await fetch(`${app.url}/metrics`)).text();
          return Number(/error_stream_clients\{[^}]*\} (\d+)/.exec(metrics)?.[1]);
        };
        // Clients of earlier tests may still be about to leave.
        await eventually(async () => (await connected()) <= 10, { what: "their places to be free" });
      });

      test("who never finish their request are closed after a while", async () => {
        const clients = await Promise.all([connectRaw(app.url), connectRaw(app.url)]);
        clients[0]?.write(UPGRADE().slice(0, 60));
        await eventually(() => clients.every((client) => client.isClosed()), {
          timeoutMs: 30_000,
          what: "half-open clients to be closed",
        });
      });

      test("who send headers without end, or nonsense, get an error and no more", async () => {
        for (const bytes of [
          `GET ${PATH} HTTP/1.1\r\nHost: x\r\nX-Long: ${"x".repeat(100_000)}`,
          "\0\0\0nonsense\r\n\r\n",
        ]) {
          const client = await connectRaw(app.url);
          client.write(bytes);
          await client.closed;
          expect(client.text()).not.toContain("101");
        }
        expect((await fetch(`${app.url}/health`)).status).toBe(200);
      });
    });

    test("not following Kafka yet, it is alive, not ready, and lets nobody in", async () => {
      const waiting = await engine.run({ ...env, KAFKA_BROKERS: "127.0.0.1:1" }, { awaitReady: false });
      await eventually(
        async () => (await fetch(`${waiting.url}/health`).catch(() => undefined))?.status === 200,
        {
          what: "the server",
        },
      );
      expect((await fetch(`${waiting.url}/ready`)).status).toBe(503);
      await expect(connect(waiting.url)).rejects.toThrow();
      const refused = await fetch(`${waiting.url}/sse/error-logs`);
      expect([refused.status, refused.headers.get("retry-after")]).toEqual([503, "2"]);
      waiting.kill("SIGKILL");
      await waiting.exited;
    });

    describe("with API keys", () => {
      let created: TestDatabase;
      let database: Database;
      let guarded: RunningApp;
      const service = uniqueName("svc");
      const keys: Record<string, string> = {};
      const bearer = (name: string) => ({ headers: { authorization: `Bearer ${keys[name]}` } });

      beforeAll(async () => {
        created = await createTestDatabase("postgres");
        database = openAsSuperuser(created.url);
        for (const [name, scopes, access] of [
          ["all", ["read"], FULL_ACCESS],
          ["some", ["admin"], { environments: ["production"], services: [service] }],
          ["ingest", ["ingest"], FULL_ACCESS],
        ] as const) {
          const made = await createApiKey(database, { name, scopes, access, expiresAt: null });
          keys[name] = made?.key ?? "";
        }
        guarded = await engine.run(
          { ...env, AUTH: "required", DATABASE_URL: created.url },
          { awaitReady: false },
        );
        await eventually(
          async () =>
            (await fetch(`${guarded.url}/ready`, bearer("all")).catch(() => undefined))?.status === 200,
          { what: "the server" },
        );
      });
      afterAll(async () => {
        await guarded?.stop();
        await database?.end();
        await created?.drop();
      });

      test("nobody gets in without one, with a wrong one, or with one that may not read", async () => {
        for (const [headers, status] of [
          [{}, 401],
          [{ authorization: `Bearer tsp_${"A".repeat(43)}` }, 401],
          [{ authorization: "Basic YTpi" }, 401],
          [bearer("ingest").headers, 403],
        ] as const) {
          for (const path of ["/sse/error-logs", "/metrics", "/ready"]) {
            expect([path, (await fetch(guarded.url + path, { headers })).status]).toEqual([path, status]);
          }
          await expect(connect(guarded.url, "", { headers })).rejects.toThrow();
        }
        for (const path of ["/", "/health"]) expect((await fetch(guarded.url + path)).status).toBe(200);
        expect((await fetch(`${guarded.url}/metrics`, bearer("all"))).status).toBe(200);
      });

      test("a key as header or as subprotocol lets in, and is not sent back", async () => {
        const byHeader = await connect(guarded.url, "", bearer("all"));
        const bySubprotocol = await connect(guarded.url, "", { protocols: ["timespan", keys.all ?? ""] });
        expect(bySubprotocol.socket.protocol).toBe("timespan");
        const mark = await sendMark();
        for (const client of [byHeader, bySubprotocol]) {
          await client.until(({ data }) => data.message === mark, "an error");
          client.socket.close();
        }
      });

      test("what a key may not see it gets neither live nor by replay", async () => {
        const live = await connect(guarded.url, "", bearer("some"));
        await sendMark();
        await sendMark({ service_name: service, environment: "staging" });
        const mark = await sendMark({ service_name: service });
        await live.until(({ data }) => data.message === mark, "its own error");
        const replayed = await connect(guarded.url, "?last=100", bearer("some"));
        await replayed.until(({ data }) => data.message === mark, "its own error again");
        const filtered = await connect(
          guarded.url,
          `?last=100&service_name=${service},other`,
          bearer("some"),
        );
        await filtered.until(({ data }) => data.message === mark, "its own error by a filter");
        for (const client of [live, replayed, filtered]) {
          expect(client.messages()).toEqual([mark]);
          client.socket.close();
        }
      });

      test("who listens with a key that is revoked is closed", async () => {
        const made = await createApiKey(database, {
          name: "leaked",
          scopes: ["read"],
          access: FULL_ACCESS,
          expiresAt: null,
        });
        const client = await connect(guarded.url, "", { headers: { authorization: `Bearer ${made?.key}` } });
        await revokeApiKey(database, { name: "leaked" });
        expect((await client.closed).code).toBe(1008);
      });
    });
  });
}
