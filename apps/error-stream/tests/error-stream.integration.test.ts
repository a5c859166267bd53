import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createRegistry } from "@timespan/runtime/metrics";
import { logEvent, uniqueName } from "@timespan/testing/events";
import { produce } from "@timespan/testing/produce";
import { eventually, type RunningApp, runApp } from "@timespan/testing/run-app";
import { testEnvironment } from "@timespan/testing/test-environment";
import { Hub } from "../src/hub.ts";
import { originAllowed, serveHub } from "../src/server.ts";

const PATH = "/ws/error-logs";

const errorRecord = (message: string, id: string) => ({
  ...logEvent({ level: "ERROR", message }),
  event_id: id,
});

interface Socket {
  frames: { event: string; data: Record<string, unknown> }[];
  closed: Promise<CloseEvent>;
  socket: WebSocket;
}

async function connect(url: string, headers: Record<string, string> = {}): Promise<Socket> {
  const socket = new WebSocket(url.replace("http", "ws"), { headers });
  const frames: Socket["frames"] = [];
  socket.onmessage = ({ data }) => frames.push(JSON.parse(String(data)));
  const closed = new Promise<CloseEvent>((resolve) => {
    socket.onclose = resolve;
  });
  await new Promise<void>((resolve, reject) => {
    socket.onopen = () => resolve();
    socket.onerror = () => reject(new Error("the WebSocket did not open"));
  });
  return { frames, closed, socket };
}

describe("error-stream as a process", () => {
  const topic = uniqueName("errors");
  const env = {
    KAFKA_BROKERS: testEnvironment().kafkaBrokers.join(","),
    KAFKA_APM_LOG_ERROR_TOPIC: topic,
    KAFKA_TOPIC_PARTITIONS: "2",
  };
  let app: RunningApp;

  beforeAll(async () => {
    app = await runApp("error-stream", "ERROR_STREAM_PORT", env);
  });
  afterAll(() => app?.stop());

  test("serves errors from the live end: what came before the client is not sent, repeats are dropped", async () => {
    await produce(topic, [errorRecord("before", "1-0-0")]);
    await Bun.sleep(500);
    const client = await connect(app.url + PATH);
    const events = [
      errorRecord("first", "1-1-0"),
      errorRecord("second", "1-2-0"),
      errorRecord("first", "1-1-0"),
    ];
    await produce(topic, [...events, "not JSON", "{}"]);
    await produce(topic, [errorRecord("last", "1-3-0")]);
    await eventually(() => client.frames.some(({ data }) => data.message === "last"), {
      what: "the last error",
    });
    const received = client.frames.map(({ data }) => data.message).toSorted();
    expect(received).toEqual(["first", "last", "second"]);
    const { type: _, ...first } = events[0] ?? errorRecord("", "");
    expect(client.frames.find(({ data }) => data.message === "first")).toEqual({
      event: "error-log",
      data: first,
    });
    client.socket.close();
  });

  test("two instances each serve every error", async () => {
    const other = await runApp("error-stream", "ERROR_STREAM_PORT", env);
    const clients = [await connect(app.url + PATH), await connect(other.url + PATH)];
    const message = uniqueName("shared");
    await produce(topic, [errorRecord(message, uniqueName("id"))]);
    for (const client of clients) {
      await eventually(() => client.frames.some(({ data }) => data.message === message), {
        what: "the error",
      });
    }
    await other.stop();
    expect(await other.exited).toBe(0);
    expect((await clients[1]?.closed)?.code).toBe(1001);
    clients[0]?.socket.close();
  });

  test.each([
    ["/health", 200],
    ["/ready", 200],
    ["/metrics", 200],
    ["/nothing", 404],
    [PATH, 426],
  ])("GET %s answers %d", async (path, status) => {
    expect((await fetch(app.url + path)).status).toBe(status);
  });

  test("a method other than GET is refused", async () => {
    expect((await fetch(`${app.url}/health`, { method: "POST" })).status).toBe(405);
  });

  test("a page of another origin may not connect", async () => {
    expect(connect(app.url + PATH, { origin: "https://evil.example" })).rejects.toThrow();
    const allowed = await connect(app.url + PATH, { origin: app.url });
    allowed.socket.close();
  });

  test("a client that sends a huge frame is closed, and others are not affected", async () => {
    const other = await connect(app.url + PATH);
    const hostile = await connect(app.url + PATH);
    hostile.socket.send("x".repeat(100_000));
    await hostile.closed;
    const message = uniqueName("after");
    await produce(topic, [errorRecord(message, uniqueName("id"))]);
    await eventually(() => other.frames.some(({ data }) => data.message === message), { what: "the error" });
    other.socket.close();
  });
});

test("not following Kafka yet, it is alive and not ready; without room, clients are refused", async () => {
  const registry = createRegistry("test");
  const hub = new Hub({ clientsMax: 0, clientBufferBytesMax: 1_000 }, registry);
  const server = serveHub(
    hub,
    { hostname: "127.0.0.1", port: 0, path: PATH, origins: [] },
    () => false,
    registry,
  );
  const url = `http://127.0.0.1:${server.port}`;
  expect((await fetch(`${url}/health`)).status).toBe(200);
  expect((await fetch(`${url}/ready`)).status).toBe(503);
  expect(connect(url + PATH)).rejects.toThrow();
  const refused = await fetch(url + PATH, { headers: { upgrade: "websocket" } });
  expect([refused.status, refused.headers.get("retry-after")]).toEqual([503, "10"]);
  await server.stop(true);
});

test("a client that reads nothing loses events and hears how many, on a real socket", async () => {
  const registry = createRegistry("test");
  const hub = new Hub({ clientsMax: 10, clientBufferBytesMax: 200_000 }, registry);
  const server = serveHub(
    hub,
    { hostname: "127.0.0.1", port: 0, path: PATH, origins: [] },
    () => true,
    registry,
  );
  const frames: string[] = [];
  // A raw TCP client, which can stop reading as no WebSocket object can.
  const opened = Promise.withResolvers<void>();
  let received = Buffer.alloc(0);
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port: server.port ?? 0,
    socket: {
      open(tcp) {
        tcp.write(
          `GET ${PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
        );
      },
      data(_, chunk) {
        received = Buffer.concat([received, chunk]);
        if (received.includes("\r\n\r\n")) opened.resolve();
      },
    },
  });
  await opened.promise;
  received = Buffer.alloc(0);
  socket.pause();
  const TOTAL = 20_000;
  const filler = "x".repeat(1_000);
  for (let number = 0; number < TOTAL; number++) {
    hub.publish({
      type: "log",
      event_id: `1-${number}-0`,
      timestamp: new Date().toISOString(),
      service_name: "svc",
      environment: "production",
      level: "ERROR",
      message: filler,
      trace_id: undefined,
      span_id: undefined,
      labels: undefined,
    });
  }
  socket.resume();
  await eventually(() => received.includes('"dropped"'), { what: "the count of dropped events" });
  frames.push(received.toString("latin1"));
  const dropped = Number(/"event":"dropped","data":\{"count":(\d+)\}/.exec(frames[0] ?? "")?.[1]);
  const delivered = (frames[0]?.match(/"event":"error-log"/g) ?? []).length;
  expect(delivered).toBeGreaterThan(0);
  expect(dropped).toBeGreaterThan(0);
  expect(delivered + dropped).toBe(TOTAL);
  socket.end();
  await server.stop(true);
});

describe("origins", () => {
  const allowed = (origin: string | undefined, origins: string[]) =>
    originAllowed(
      new Request("http://timespan.example:3010/ws", { headers: origin === undefined ? {} : { origin } }),
      origins,
    );
  test.each([
    [undefined, [], true],
    ["http://timespan.example", [], true],
    ["https://timespan.example:8443", [], true],
    ["https://evil.example", [], false],
    ["null", [], false],
    ["https://board.example", ["https://board.example"], true],
    ["http://timespan.example", ["https://board.example"], false],
    ["https://evil.example", ["*"], true],
  ] as const)("%p with the list %p: %p", (origin, origins, expected) => {
    expect(allowed(origin, [...origins])).toBe(expected);
  });
});
