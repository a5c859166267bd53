import type { Server, ServerWebSocket } from "bun";
import { type AdminAnswer, refusalAnswer } from "./answer-request.ts";
import {
  type Channel,
  CLIENT_FRAME_BYTES_MAX,
  IDLE_SECONDS_MAX,
  type OpenClient,
  REQUEST_SECONDS_MAX,
  SSE_PATH,
  type Ticket,
} from "./channel.ts";
import { EventStream } from "./event-stream.ts";
import { type ClientRequest, offeredSubprotocols, SUBPROTOCOL } from "./gate.ts";
import type { Listener, ListenOptions } from "./listener.ts";
import type { Connection } from "./subscriber.ts";

interface SocketData {
  ticket: Ticket;
  client?: OpenClient;
}

/** Serves the channel on Bun's own server, which is µWebSockets. */
export function serveOnBun(channel: Channel, options: ListenOptions): Listener {
  const server = Bun.serve<SocketData>({
    hostname: options.hostname,
    port: options.port,
    idleTimeout: REQUEST_SECONDS_MAX,
    // Nobody has to send us a body.
    maxRequestBodySize: 1_024,
    development: false,
    async fetch(request, server) {
      const asked = describe(request, server);
      if (asked.path === channel.wsPath) return upgrade(asked, request, server);
      if (asked.path === SSE_PATH) return stream(asked, request, server);
      return response(await channel.answer(asked), request.method);
    },
    error(err) {
      options.logger.error({ err }, "a request failed");
      return new Response(null, { status: 500 });
    },
    websocket: {
      maxPayloadLength: CLIENT_FRAME_BYTES_MAX,
      idleTimeout: IDLE_SECONDS_MAX,
      sendPings: true,
      // Every frame is small and different: compressing them would cost each client 300 kB and most of the speed.
      perMessageDeflate: false,
      // The largest there is. Beyond it Bun would drop frames and say so only by a result of 0: so nothing more is
      // handed over once a socket is full, and what waits is counted where it can be told.
      backpressureLimit: 2 ** 31 - 1,
      open(socket) {
        socket.data.client = socket.data.ticket.open(connectionOf(socket));
      },
      message(socket, message) {
        socket.data.client?.message(typeof message === "string" ? message : "");
      },
      drain(socket) {
        socket.data.client?.drained();
      },
      close(socket) {
        socket.data.client?.closed();
      },
    },
  });
  const { port } = server;
  if (port === undefined) throw new Error("a server without a port");
  return { port, stop: () => server.stop(true) };

  async function upgrade(
    asked: ClientRequest,
    request: Request,
    server: Server<SocketData>,
  ): Promise<Response | undefined> {
    const ticket = await channel.admitWebSocket(asked);
    if ("status" in ticket) return response(refusalAnswer(ticket), request.method);
    const agreed = offeredSubprotocols(asked).includes(SUBPROTOCOL);
    const headers = agreed ? { "sec-websocket-protocol": SUBPROTOCOL } : undefined;
    if (server.upgrade(request, { data: { ticket }, ...(headers === undefined ? {} : { headers }) }))
      return undefined;
    ticket.cancel();
    return response(refusalAnswer({ status: 400, detail: "not a WebSocket handshake" }), request.method);
  }

  async function stream(
    asked: ClientRequest,
    request: Request,
    server: Server<SocketData>,
  ): Promise<Response> {
    const ticket = await channel.admitEventStream(asked);
    if ("status" in ticket) return response(refusalAnswer(ticket), request.method);
    server.timeout(request, 0);
    let client: OpenClient | undefined;
    let events: EventStream | undefined;
    const body = new ReadableStream<Uint8Array>(
      {
        start(controller) {
          const encoder = new TextEncoder();
          events = new EventStream(
            {
              write(text) {
                controller.enqueue(encoder.encode(text));
                return (controller.desiredSize ?? 0) > 0;
              },
              end: () => controller.close(),
              abort: () => controller.error(new Error("the client does not read")),
            },
            () => client?.closed(),
          );
          client = ticket.open(events);
        },
        pull() {
          events?.noteDrained();
          client?.drained();
        },
        cancel: () => events?.noteClosed(),
      },
      new ByteLengthQueuingStrategy({ highWaterMark: EventStream.BUFFER_BYTES }),
    );
    request.signal.addEventListener("abort", () => events?.noteClosed());
    return new Response(body, { headers: EventStream.HEADERS });
  }
}

function describe(request: Request, server: Server<SocketData>): ClientRequest {
  const url = new URL(request.url);
  return {
    method: request.method,
    path: url.pathname,
    query: url.searchParams,
    header: (name) => request.headers.get(name) ?? undefined,
    address: server.requestIP(request)?.address ?? "",
  };
}

function response({ status, headers, body }: AdminAnswer, method: string): Response {
  return new Response(method === "HEAD" ? null : body, { status, headers });
}

/**
 * Bun 1.4.5's `send` answers with the bytes it wrote, with -1 where it took the frame and the socket is full, and with
 * 0 where it took nothing, because more than `backpressureLimit` waits already. Within `cork` it writes when its buffer
 * is full and at the end, so whether anything waits is known for sure only afterwards.
 */
function connectionOf(socket: ServerWebSocket<SocketData>): Connection {
  return {
    send(frames, start) {
      let taken = start;
      socket.cork(() => {
        while (taken < frames.length) {
          const frame = frames[taken];
          if (frame === undefined) break;
          const result = socket.sendText(frame.text);
          if (result === 0) break;
          taken++;
          if (result < 0) break;
        }
      });
      return taken - start;
    },
    congested: () => socket.getBufferedAmount() > 0,
    close: (code, reason) => socket.close(code, reason),
  };
}
