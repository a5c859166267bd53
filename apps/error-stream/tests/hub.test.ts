import { expect, test } from "bun:test";
import { createRegistry } from "@timespan/runtime/metrics";
import { decodeLogEvent } from "@timespan/telemetry/wire/decode-log-event";
import { decodeErrorEvent, type ErrorEvent, encodeErrorEvent } from "@timespan/telemetry/wire/error-event";
import { logEvent } from "@timespan/testing/events";
import { type Client, Hub } from "../src/hub.ts";

/** A client whose socket takes what it is sent only when the test says so. */
class ScriptedClient implements Client {
  readonly frames: { event: string; data: Record<string, unknown> }[] = [];
  reads = true;
  closed: [number, string] | undefined;
  #buffered = 0;
  bufferedBytes = () => this.#buffered;
  send(frame: string): void {
    this.frames.push(JSON.parse(frame));
    if (!this.reads) this.#buffered += frame.length;
  }
  close(code: number, reason: string): void {
    this.closed = [code, reason];
  }
  drain(hub: Hub): void {
    this.reads = true;
    this.#buffered = 0;
    hub.drained(this);
  }
}

const createHub = (limits: Partial<ConstructorParameters<typeof Hub>[0]> = {}) =>
  new Hub({ clientsMax: 3, clientBufferBytesMax: 1_000, ...limits }, createRegistry("test"));

function errorNumber(number: number): ErrorEvent {
  const log = decodeLogEvent(
    Buffer.from(JSON.stringify(logEvent({ level: "ERROR", message: `error ${number}` }))),
    0,
  );
  if (!log.ok) throw new Error(log.rejection.detail);
  const event = decodeErrorEvent(Buffer.from(encodeErrorEvent(log.value, `1-${number}-0`)));
  if (event === undefined) throw new Error("not an error event");
  return event;
}

const messages = (client: ScriptedClient) => client.frames.map(({ data }) => data.message ?? data.count);

test("every client gets every error, in the contract's frame", () => {
  const hub = createHub();
  const clients = [new ScriptedClient(), new ScriptedClient()];
  for (const client of clients) hub.join(client);
  const event = errorNumber(1);
  hub.publish(event);
  const { type: _, ...data } = event;
  for (const client of clients) expect(client.frames).toEqual([{ event: "error-log", data }]);
});

test("an error that Kafka delivers twice is sent once", () => {
  const hub = createHub();
  const client = new ScriptedClient();
  hub.join(client);
  for (const number of [1, 2, 1, 2, 3]) hub.publish(errorNumber(number));
  expect(messages(client)).toEqual(["error 1", "error 2", "error 3"]);
});

test("a client that does not keep up is told how many it missed, and nobody else misses any", () => {
  const hub = createHub();
  const slow = new ScriptedClient();
  const quick = new ScriptedClient();
  hub.join(slow);
  hub.join(quick);
  slow.reads = false;
  for (let number = 0; number < 20; number++) hub.publish(errorNumber(number));
  const received = slow.frames.length;
  expect(received).toBeGreaterThan(0);
  expect(received).toBeLessThan(10);
  slow.drain(hub);
  hub.publish(errorNumber(20));
  expect(messages(slow).slice(received)).toEqual([20 - received, "error 20"]);
  expect(slow.frames[received]).toEqual({ event: "dropped", data: { count: 20 - received } });
  expect(quick.frames).toHaveLength(21);
});

test("more clients than the limit are refused, and a place is free again when one leaves", () => {
  const hub = createHub({ clientsMax: 1 });
  const client = new ScriptedClient();
  expect(hub.hasRoom()).toBe(true);
  hub.join(client);
  expect(hub.hasRoom()).toBe(false);
  hub.leave(client);
  expect(hub.hasRoom()).toBe(true);
});

test("a stop tells every client that the server goes away", () => {
  const hub = createHub();
  const client = new ScriptedClient();
  hub.join(client);
  hub.closeAll();
  expect(client.closed?.[0]).toBe(1001);
});

test("a log with megabytes of text is forwarded small enough for a broker, and marked", () => {
  const log = decodeLogEvent(
    Buffer.from(
      JSON.stringify({ ...logEvent({ level: "ERROR", message: "m".repeat(200_000) }), labels: manyLabels() }),
    ),
    0,
  );
  if (!log.ok) throw new Error(log.rejection.detail);
  const encoded = encodeErrorEvent(log.value, "1-1-0");
  expect(encoded.length).toBeLessThan(100_000);
  expect(decodeErrorEvent(Buffer.from(encoded))?.labels).toEqual({
    "timespan.truncated": ["message", "labels"],
  });
});

test.each([[null], ["nonsense"], ["{}"], ['{"type":"log","level":"INFO"}']])(
  "%p is no error event",
  (value) => {
    expect(decodeErrorEvent(value === null ? null : Buffer.from(value))).toBeUndefined();
  },
);

function manyLabels(): Record<string, string> {
  return Object.fromEntries(Array.from({ length: 100 }, (_, index) => [`label ${index}`, "x".repeat(5_000)]));
}
