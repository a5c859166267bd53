/**
 * The ceiling of the fan-out benchmark, for Bun and Node: `fanout-ceiling.mjs <port> <frame bytes>` is the engine
 * alone, publishing a constant frame to whoever is connected. `GET /publish?frames=N` answers when N were taken.
 */
import { createRequire } from "node:module";

const [port, frameBytes] = process.argv.slice(2).map(Number);
const frame = JSON.stringify({ event: "error-log", data: "x".repeat(frameBytes - 32) });
/** Published before the sockets get their turn. */
const BURST = 40;
/** Publishing waits while a socket holds more: the kernel's and the clients' pace counts, not a buffer's. */
const BUFFERED_BYTES_MAX = 256 * 1024;
const sockets = new Set();

async function publishAll(frames, publish) {
  for (let sent = 0; sent < frames; ) {
    for (let each = 0; each < BURST && sent < frames; each++, sent++) publish(frame);
    do await new Promise((resolve) => setImmediate(resolve));
    while ([...sockets].some((socket) => socket.getBufferedAmount() > BUFFERED_BYTES_MAX));
  }
}

if (typeof Bun === "undefined") {
  const uws = createRequire(new URL("../apps/error-stream/package.json", import.meta.url))("uWebSockets.js");
  const app = uws.App();
  app.ws("/*", {
    maxBackpressure: 0,
    idleTimeout: 0,
    open(socket) {
      sockets.add(socket);
      socket.subscribe("all");
    },
    close: (socket) => sockets.delete(socket),
  });
  app.get("/publish", async (res, req) => {
    const frames = Number(new URLSearchParams(req.getQuery()).get("frames"));
    res.onAborted(() => {});
    await publishAll(frames, (text) => app.publish("all", text, false));
    res.cork(() => res.end("done"));
  });
  app.listen("127.0.0.1", port, () => {});
} else {
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port,
    idleTimeout: 0,
    async fetch(request, own) {
      const url = new URL(request.url);
      if (url.pathname !== "/publish")
        return own.upgrade(request) ? undefined : new Response(null, { status: 400 });
      await publishAll(Number(url.searchParams.get("frames")), (text) => server.publish("all", text));
      return new Response("done");
    },
    websocket: {
      idleTimeout: 0,
      backpressureLimit: 2 ** 31 - 1,
      perMessageDeflate: false,
      open(socket) {
        sockets.add(socket);
        socket.subscribe("all");
      },
      message() {},
      close: (socket) => void sockets.delete(socket),
    },
  });
}
