import type { Registry } from "@timespan/runtime/metrics";
import type { Server, ServerWebSocket } from "bun";
import type { Client, Hub } from "./hub.ts";

export interface ServerOptions {
  hostname: string;
  port: number;
  /** Path of the WebSocket. */
  path: string;
  /** Origins of pages that may connect; `*` for any, none for pages of this host. */
  origins: readonly string[];
}

interface Connection {
  client?: Client;
}

/** Clients have nothing to say yet; a frame longer than this closes the connection. */
const CLIENT_FRAME_BYTES_MAX = 16 * 1024;
/** A client whose socket answers no ping for this long is gone. */
const IDLE_SECONDS_MAX = 120;

/** Serves the hub on Bun's own WebSocket server, which is µWebSockets; also health, readiness and metrics. */
export function serveHub(
  hub: Hub,
  options: ServerOptions,
  ready: () => boolean,
  registry: Registry,
): Server<Connection> {
  return Bun.serve<Connection>({
    hostname: options.hostname,
    port: options.port,
    async fetch(request, server) {
      const url = new URL(request.url);
      if (url.pathname === options.path) return upgrade(request, server);
      if (request.method !== "GET") return answer(405, "method not allowed");
      switch (url.pathname) {
        case "/health":
          return answer(200, "ok");
        case "/ready":
          return ready() ? answer(200, "ready") : answer(503, "not following the topic of errors yet");
        case "/metrics":
          return new Response(await registry.metrics(), {
            headers: { "content-type": registry.contentType },
          });
        default:
          return answer(404, `nothing here; errors are at ${options.path}`);
      }
    },
    websocket: {
      maxPayloadLength: CLIENT_FRAME_BYTES_MAX,
      idleTimeout: IDLE_SECONDS_MAX,
      sendPings: true,
      // The largest there is: the hub keeps a client far below it, and says so when it drops something.
      backpressureLimit: 2 ** 31 - 1,
      open(socket) {
        const client = clientOf(socket);
        socket.data.client = client;
        hub.join(client);
      },
      message() {},
      drain(socket) {
        if (socket.data.client !== undefined) hub.drained(socket.data.client);
      },
      close(socket) {
        if (socket.data.client !== undefined) hub.leave(socket.data.client);
      },
    },
  });

  function upgrade(request: Request, server: Server<Connection>): Response | undefined {
    if (request.headers.get("upgrade")?.toLowerCase() !== "websocket") {
      return answer(426, "connect by WebSocket", { upgrade: "websocket" });
    }
    if (!originAllowed(request, options.origins)) return answer(403, "this origin may not connect");
    if (!hub.hasRoom()) return answer(503, "too many clients", { "retry-after": "10" });
    return server.upgrade(request, { data: {} }) ? undefined : answer(400, "not a WebSocket handshake");
  }
}

function answer(status: number, text: string, headers?: Record<string, string>): Response {
  return Response.json({ status: text }, { status, ...(headers === undefined ? {} : { headers }) });
}

function clientOf(socket: ServerWebSocket<Connection>): Client {
  return {
    bufferedBytes: () => socket.getBufferedAmount(),
    send: (frame) => void socket.send(frame),
    close: (code, reason) => socket.close(code, reason),
  };
}

/**
 * Browsers let any page open a WebSocket anywhere and say only where the page came from; so that is what is checked.
 * A program that is not a browser sends no origin.
 */
export function originAllowed(request: Request, origins: readonly string[]): boolean {
  const origin = request.headers.get("origin");
  if (origin === null || origins.includes("*") || origins.includes(origin)) return true;
  if (origins.length > 0 || !URL.canParse(origin)) return false;
  return new URL(origin).hostname === new URL(request.url).hostname;
}
