/**
 * What `send` answers on the pinned engines when a client stops reading. The hub relies on it: what an engine says it
 * took arrives, and what it did not take is still the hub's.
 */
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { eventually } from "@timespan/testing/run-app";
import type { ServerWebSocket } from "bun";
import { engines } from "./engines.ts";
import { connectRawWebSocket, UPGRADE } from "./live-client.ts";

const FRAME = "x".repeat(10_000);
const SENDS = 1_500;
const LIMIT_BYTES = 64 * 1024;
const UNLIMITED_ON_BUN = 2 ** 31 - 1;

describe("Bun", () => {
  async function sendToStalled(backpressureLimit: number) {
    const opened = Promise.withResolvers<ServerWebSocket<undefined>>();
    const server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch: (request, own) => (own.upgrade(request) ? undefined : new Response()),
      websocket: { backpressureLimit, perMessageDeflate: false, open: opened.resolve, message() {} },
    });
    let received = 0;
    const client = await connectRawWebSocket(`http://127.0.0.1:${server.port}`, "", () => received++);
    const socket = await opened.promise;
    client.pause();
    const results = { taken: 0, full: 0, refused: 0 };
    for (let sent = 0; sent < SENDS; sent++) {
      const result = socket.sendText(FRAME);
      results[result > 0 ? "taken" : result < 0 ? "full" : "refused"]++;
    }
    client.resume();
    await eventually(() => received >= results.taken + results.full, { what: "everything that was taken" });
    await Bun.sleep(100);
    client.terminate();
    await server.stop(true);
    return { results, received };
  }

  test("more than 0 and -1 mean that it arrives; without a limit there is nothing else", async () => {
    const { results, received } = await sendToStalled(UNLIMITED_ON_BUN);
    expect(results.full).toBeGreaterThan(0);
    expect(results.refused).toBe(0);
    expect(received).toBe(SENDS);
  });

  test("0 means that it never arrives: over the limit frames are dropped", async () => {
    const { results, received } = await sendToStalled(LIMIT_BYTES);
    expect(results.refused).toBeGreaterThan(0);
    expect(received).toBe(results.taken + results.full);
  });
});

const uws = engines.find(({ name }) => name === "uWebSockets.js");

describe.skipIf(uws?.missing !== undefined)("uWebSockets.js", () => {
  async function sendToStalled(limit: number): Promise<{ results: Record<string, number>; frames: number }> {
    const script = join(import.meta.dir, "uws-send-results.mjs");
    const probe = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response() });
    const { port } = probe;
    await probe.stop(true);
    const upgrade = UPGRADE().replaceAll("\r\n", "\\r\\n");
    const child = Bun.spawn(["node", script, String(port), String(limit), upgrade], { stderr: "inherit" });
    return JSON.parse(await new Response(child.stdout).text());
  }

  test("1 and 0 mean that it arrives; without a limit there is nothing else", async () => {
    const { results, frames } = await sendToStalled(0);
    expect(results["0"]).toBeGreaterThan(0);
    expect(results["2"]).toBe(0);
    expect(frames).toBe(SENDS);
  });

  test("2 means that it never arrives: over the limit frames are dropped", async () => {
    const { results, frames } = await sendToStalled(LIMIT_BYTES);
    expect(results["2"]).toBeGreaterThan(0);
    expect(frames).toBe((results["0"] ?? 0) + (results["1"] ?? 0));
  });
});
