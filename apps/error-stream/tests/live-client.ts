import { eventually } from "@timespan/testing/run-app";

export const PATH = "/ws/error-logs";

export interface ReceivedFrame {
  event: string;
  id?: string;
  data: Record<string, unknown>;
}

/** A WebSocket client that keeps what it is sent. */
export interface LiveClient {
  frames: ReceivedFrame[];
  /** Messages of the errors that it got. */
  messages(): unknown[];
  /** Waits for a frame. */
  until(matches: (frame: ReceivedFrame) => boolean, what: string): Promise<ReceivedFrame>;
  ask(subscribe: object): void;
  closed: Promise<CloseEvent>;
  socket: WebSocket;
}

/** @throws where the server does not upgrade */
export async function connect(
  url: string,
  query = "",
  options: { headers?: Record<string, string>; protocols?: string[] } = {},
): Promise<LiveClient> {
  const socket = new WebSocket(`${url.replace("http", "ws")}${PATH}${query}`, options);
  const frames: ReceivedFrame[] = [];
  socket.onmessage = ({ data }) => frames.push(JSON.parse(String(data)));
  const closed = new Promise<CloseEvent>((resolve) => {
    socket.onclose = resolve;
  });
  await new Promise<void>((resolve, reject) => {
    socket.onopen = () => resolve();
    socket.onerror = () => reject(new Error("the WebSocket did not open"));
  });
  return {
    frames,
    messages: () => frames.filter(({ event }) => event === "error-log").map(({ data }) => data.message),
    async until(matches, what) {
      await eventually(() => frames.some(matches), { what });
      const found = frames.find(matches);
      if (found === undefined) throw new Error(what);
      return found;
    },
    ask: (subscribe) => socket.send(JSON.stringify({ subscribe })),
    closed,
    socket,
  };
}

/** A client of Server-Sent Events that keeps what it is sent. */
export interface SseClient {
  events: { event?: string; id?: string; data?: string; retry?: string }[];
  messages(): unknown[];
  ended: Promise<void>;
  stop(): void;
}

/** @throws where the answer is no stream */
export async function connectEventStream(
  url: string,
  query = "",
  headers: Record<string, string> = {},
): Promise<SseClient> {
  const abort = new AbortController();
  const response = await fetch(`${url}/sse/error-logs${query}`, { headers, signal: abort.signal });
  if (response.status !== 200 || response.body === null) throw new Error(`answered ${response.status}`);
  const events: SseClient["events"] = [];
  const { body } = response;
  const read = async () => {
    let text = "";
    const decoder = new TextDecoder();
    for await (const chunk of body) {
      text += decoder.decode(chunk, { stream: true });
      const blocks = text.split("\n\n");
      text = blocks.pop() ?? "";
      for (const block of blocks) {
        events.push(Object.fromEntries(block.split("\n").map((line) => line.split(/: (.*)/s, 2))));
      }
    }
  };
  return {
    events,
    messages: () =>
      events.filter(({ event }) => event === "error-log").map(({ data }) => JSON.parse(data ?? "").message),
    ended: read().catch(() => {}),
    stop: () => abort.abort(),
  };
}

/** A TCP client that can send what no WebSocket object would, and stop reading. */
export interface RawClient {
  /** What it received, as latin1. */
  text(): string;
  write(bytes: string | Uint8Array): void;
  pause(): void;
  resume(): void;
  end(): void;
  /** Ends at once, with what was sent and not read. */
  terminate(): void;
  closed: Promise<void>;
  isClosed(): boolean;
}

/** @param onData gets what comes, instead of `text` */
export async function connectRaw(url: string, onData?: (bytes: Buffer) => void): Promise<RawClient> {
  const { hostname, port } = new URL(url);
  const chunks: Buffer[] = [];
  const closed = Promise.withResolvers<void>();
  let isClosed = false;
  const over = () => {
    isClosed = true;
    closed.resolve();
  };
  const socket = await Bun.connect({
    hostname,
    port: Number(port),
    socket: {
      data: (_, chunk) => (onData === undefined ? void chunks.push(Buffer.from(chunk)) : onData(chunk)),
      close: over,
      end: over,
      error: over,
      drain() {},
    },
  });
  return {
    text: () => Buffer.concat(chunks).toString("latin1"),
    write: (bytes) => void socket.write(bytes),
    pause: () => socket.pause(),
    resume: () => socket.resume(),
    end: () => socket.end(),
    terminate: () => {
      socket.terminate();
      over();
    },
    closed: closed.promise,
    isClosed: () => isClosed,
  };
}

export const UPGRADE = (query = "", headers = "") =>
  `GET ${PATH}${query} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
  `Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n${headers}\r\n`;

/**
 * A raw client whose WebSocket is open.
 * @param onText gets the text of each frame, instead of `text` having all that came
 */
export async function connectRawWebSocket(
  url: string,
  query = "",
  onText?: (text: string) => void,
): Promise<RawClient> {
  let head = "";
  let rest: Buffer = Buffer.alloc(0);
  const opened = Promise.withResolvers<void>();
  const client = await connectRaw(url, onText === undefined ? undefined : take);
  client.write(UPGRADE(query));
  if (onText === undefined) {
    await eventually(() => client.text().includes("\r\n\r\n"), { what: "the upgrade" });
    head = client.text();
  } else {
    await Promise.race([opened.promise, client.closed]);
  }
  if (!head.startsWith("HTTP/1.1 101")) {
    client.terminate();
    throw new Error(`not upgraded: ${head}`);
  }
  return client;

  function take(bytes: Buffer): void {
    rest = Buffer.concat([rest, bytes]);
    if (head === "") {
      const end = rest.indexOf("\r\n\r\n");
      if (end < 0) return;
      head = rest.toString("latin1", 0, end + 4);
      rest = rest.subarray(end + 4);
      opened.resolve();
    }
    for (;;) {
      const frame = readServerFrame(rest);
      if (frame === undefined) return;
      rest = rest.subarray(frame.end);
      if (frame.opcode === 1) onText?.(frame.payload.toString("utf8"));
    }
  }
}

/** The first whole frame in `bytes`, which a server does not mask. */
function readServerFrame(bytes: Buffer): { opcode: number; payload: Buffer; end: number } | undefined {
  if (bytes.length < 10 && bytes.length < 2 + ((bytes[1] ?? 0) & 0x7f)) return undefined;
  const short = (bytes[1] ?? 0) & 0x7f;
  const header = short < 126 ? 2 : short === 126 ? 4 : 10;
  if (bytes.length < header) return undefined;
  const length = short < 126 ? short : short === 126 ? bytes.readUInt16BE(2) : bytes.readUInt32BE(6);
  const end = header + length;
  if (bytes.length < end) return undefined;
  return { opcode: (bytes[0] ?? 0) & 0x0f, payload: bytes.subarray(header, end), end };
}

/** One frame from a client, masked by zeros: the bytes stay as they are. */
export function clientFrame(opcode: number, payload: string | Uint8Array): Uint8Array {
  const bytes = Buffer.from(payload);
  const header =
    bytes.length < 126
      ? [0x80 | opcode, 0x80 | bytes.length]
      : [0x80 | opcode, 0x80 | 127, 0, 0, 0, 0, ...lengthBytes(bytes.length)];
  return Buffer.concat([Buffer.from([...header, 0, 0, 0, 0]), bytes]);
}

function lengthBytes(length: number): number[] {
  return [24, 16, 8, 0].map((shift) => (length >>> shift) & 0xff);
}
