import type { HttpRequest, HttpResponse, us_socket_context_t, WebSocket } from "uWebSockets.js";
import uws from "uWebSockets.js";
import { type AdminAnswer, refusalAnswer } from "./answer-request.ts";
import {
  type Channel,
  CLIENT_FRAME_BYTES_MAX,
  IDLE_SECONDS_MAX,
  type OpenClient,
  SSE_PATH,
  type Ticket,
} from "./channel.ts";
import { EventStream } from "./event-stream.ts";
import { type ClientRequest, offeredSubprotocols, SUBPROTOCOL } from "./gate.ts";
import type { Listener, ListenOptions } from "./listener.ts";
import type { Connection } from "./subscriber.ts";

declare module "uWebSockets.js" {
  interface TemplatedApp {
    /** Closes every socket, the listening one too. Missing in the types of the pinned version only. */
    close(): void;
  }
}

interface SocketData {
  ticket: Ticket;
  client?: OpenClient;
}

/** What uWebSockets.js's `send` answers. */
const SEND = { full: 0, taken: 1, dropped: 2 } as const;

/**
 * Serves the channel on uWebSockets.js. Its sockets and answers must not be touched once they are closed or aborted,
 * so each is looked at only until then. A request that is not complete after ten seconds is closed by the engine.
 */
export function serveOnUws(channel: Channel, options: ListenOptions): Promise<Listener> {
  const app = uws.App();

  app.ws<SocketData>(channel.wsPath, {
    maxPayloadLength: CLIENT_FRAME_BYTES_MAX,
    idleTimeout: IDLE_SECONDS_MAX,
    sendPingsAutomatically: true,
    compression: uws.DISABLED,
    // No limit of the engine's own, beyond which it would drop frames: nothing more is handed over once a socket is
    // full, and what waits is counted where it can be told.
    maxBackpressure: 0,
    upgrade: (res, req, context) => void upgrade(res, req, context),
    open(socket) {
      const data = socket.getUserData();
      data.client = data.ticket.open(connectionOf(socket));
    },
    message(socket, message, isBinary) {
      socket.getUserData().client?.message(isBinary ? "" : Buffer.from(message).toString("utf8"));
    },
    drain: (socket) => socket.getUserData().client?.drained(),
    close(socket) {
      socket.getUserData().client?.closed();
    },
  });
  app.any("/*", (res, req) => void answer(res, req));

  return new Promise((resolve, reject) => {
    app.listen(options.hostname, options.port, (token) => {
      if (token) resolve({ port: options.port, stop: () => void app.close() });
      else reject(new Error(`cannot listen on ${options.hostname}:${options.port}`));
    });
  });

  async function upgrade(res: HttpResponse, req: HttpRequest, context: us_socket_context_t): Promise<void> {
    const asked = describe(res, req);
    let aborted = false;
    res.onAborted(() => {
      aborted = true;
    });
    const ticket = await channel.admitWebSocket(asked);
    if (aborted) {
      if (!("status" in ticket)) ticket.cancel();
      return;
    }
    if ("status" in ticket) {
      write(res, refusalAnswer(ticket), asked.method);
      return;
    }
    res.cork(() => {
      res.upgrade<SocketData>(
        { ticket },
        asked.header("sec-websocket-key") ?? "",
        offeredSubprotocols(asked).includes(SUBPROTOCOL) ? SUBPROTOCOL : "",
        asked.header("sec-websocket-extensions") ?? "",
        context,
      );
    });
  }

  async function answer(res: HttpResponse, req: HttpRequest): Promise<void> {
    const asked = describe(res, req);
    let onAborted = () => {};
    let aborted = false;
    res.onAborted(() => {
      aborted = true;
      onAborted();
    });
    if (asked.path === SSE_PATH) {
      const ticket = await channel.admitEventStream(asked);
      if (!("status" in ticket)) {
        if (aborted) ticket.cancel();
        else onAborted = openStream(res, ticket);
        return;
      }
      if (!aborted) write(res, refusalAnswer(ticket), asked.method);
      return;
    }
    let answered: AdminAnswer;
    try {
      answered = await channel.answer(asked);
    } catch (err) {
      options.logger.error({ err }, "a request failed");
      answered = { status: 500, headers: {}, body: "" };
    }
    if (!aborted) write(res, answered, asked.method);
  }

  /** @returns what is to be called when the connection is gone */
  function openStream(res: HttpResponse, ticket: Ticket): () => void {
    let client: OpenClient | undefined;
    res.cork(() => {
      res.writeStatus("200");
      for (const [name, value] of Object.entries(EventStream.HEADERS)) res.writeHeader(name, value);
    });
    const stream = new EventStream(
      {
        write(text) {
          let free = true;
          res.cork(() => {
            free = res.write(text);
          });
          return free;
        },
        end: () => res.cork(() => void res.end()),
        abort: () => void res.close(),
      },
      () => client?.closed(),
    );
    res.onWritable(() => {
      stream.noteDrained();
      client?.drained();
      return true;
    });
    client = ticket.open(stream);
    return () => stream.noteClosed();
  }
}

const HEADERS_READ = [
  "authorization",
  "host",
  "last-event-id",
  "origin",
  "sec-websocket-extensions",
  "sec-websocket-key",
  "sec-websocket-protocol",
  "upgrade",
] as const;

/** Everything about a request, which the engine takes back when its handler returns. */
function describe(res: HttpResponse, req: HttpRequest): ClientRequest {
  const headers = new Map<string, string>(HEADERS_READ.map((name) => [name, req.getHeader(name)]));
  return {
    method: req.getMethod().toUpperCase(),
    path: req.getUrl(),
    query: new URLSearchParams(req.getQuery()),
    // The engine knows no difference between an empty header and none.
    header: (name) => headers.get(name) || undefined,
    address: Buffer.from(res.getRemoteAddressAsText()).toString(),
  };
}

function write(res: HttpResponse, { status, headers, body }: AdminAnswer, method: string): void {
  res.cork(() => {
    res.writeStatus(String(status));
    for (const [name, value] of Object.entries(headers)) res.writeHeader(name, value);
    if (method === "HEAD") res.endWithoutBody(Buffer.byteLength(body));
    else res.end(body);
  });
}

/** As on Bun: within `cork` what is written at its end may not fit, so whether anything waits is asked afterwards. */
function connectionOf(socket: WebSocket<SocketData>): Connection {
  return {
    send(frames, start) {
      let taken = start;
      socket.cork(() => {
        while (taken < frames.length) {
          const frame = frames[taken];
          if (frame === undefined) break;
          const result = socket.send(frame.utf8, false);
          if (result === SEND.dropped) break;
          taken++;
          if (result === SEND.full) break;
        }
      });
      return taken - start;
    },
    congested: () => socket.getBufferedAmount() > 0,
    close: (code, reason) => socket.end(code, reason),
  };
}
