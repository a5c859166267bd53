/**
 * WebSocket clients of the fan-out benchmark, as a process of their own: `fanout-clients.ts <url> <count>
 * <idle count> <filters>`. Plain sockets that walk over frames: a client library would be measured instead.
 */
export interface ClientReport {
  frames: number;
  /** Told to be dropped. */
  dropped: number;
  /** From a record's making to its arrival, in milliseconds; of the clients that read. */
  delayMs: { p50: number; p99: number } | null;
}

const [url = "", count = "0", stalled = "0", filters = "0"] = process.argv.slice(2);
const { hostname, port, pathname } = new URL(url);
const SENT_AT = Buffer.from('"sent_at":');
const DROPPED = Buffer.from('{"event":"dropped","data":{"count":');
/** Connections that are being made at once. */
const CONNECTING_MAX = 50;

let frames = 0;
let dropped = 0;
let delays: number[] = [];
const now = () => performance.timeOrigin + performance.now();

async function connect(index: number): Promise<void> {
  const opened = Promise.withResolvers<void>();
  let rest: Buffer | undefined;
  let isOpen = false;
  const socket = await Bun.connect({
    hostname,
    port: Number(port),
    socket: {
      open(tcp) {
        const service = Math.floor((index * Number(filters)) / Number(count));
        const query = filters === "0" ? "" : `?service_name=service-${service}`;
        tcp.write(
          `GET ${pathname}${query} HTTP/1.1\r\nHost: ${hostname}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
        );
      },
      data(_, chunk) {
        let bytes = rest === undefined ? chunk : Buffer.concat([rest, chunk]);
        if (!isOpen) {
          const end = bytes.indexOf("\r\n\r\n");
          if (end < 0) {
            rest = Buffer.from(bytes);
            return;
          }
          if (!bytes.subarray(0, 12).equals(Buffer.from("HTTP/1.1 101"))) {
            opened.reject(new Error(bytes.toString()));
            return;
          }
          isOpen = true;
          opened.resolve();
          bytes = bytes.subarray(end + 4);
        }
        const used = read(bytes);
        rest = used < bytes.length ? Buffer.from(bytes.subarray(used)) : undefined;
      },
      close() {
        opened.reject(new Error("closed"));
      },
      error(_, error) {
        opened.reject(error);
      },
    },
  });
  await opened.promise;
  if (index < Number(stalled)) socket.pause();
}

/** Counts the whole frames in `bytes`. @returns where the first that is not whole begins */
function read(bytes: Buffer): number {
  const at = now();
  let position = 0;
  while (bytes.length - position >= 2) {
    let length = (bytes[position + 1] ?? 0) & 0x7f;
    let header = 2;
    if (length === 126) {
      if (bytes.length - position < 4) break;
      length = bytes.readUInt16BE(position + 2);
      header = 4;
    } else if (length === 127) {
      if (bytes.length - position < 10) break;
      length = bytes.readUInt32BE(position + 6);
      header = 10;
    }
    const end = position + header + length;
    if (end > bytes.length) break;
    if (((bytes[position] ?? 0) & 0x0f) === 1) take(bytes.subarray(position + header, end), at);
    position = end;
  }
  return position;
}

function take(frame: Buffer, at: number): void {
  if (frame.length < 200 && frame.subarray(0, DROPPED.length).equals(DROPPED)) {
    dropped += JSON.parse(frame.toString()).data.count;
    return;
  }
  frames++;
  // Near the end, where the labels stand; the search is over at once.
  const found = frame.indexOf(SENT_AT, Math.max(0, frame.length - 60));
  if (found < 0) return;
  delays.push(
    at - Number.parseFloat(frame.toString("latin1", found + SENT_AT.length, found + SENT_AT.length + 20)),
  );
}

function report(): ClientReport {
  const sorted = Float64Array.from(delays).sort();
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
  return { frames, dropped, delayMs: sorted.length === 0 ? null : { p50: at(0.5), p99: at(0.99) } };
}

process.on("message", (message) => {
  if (message === "report") process.send?.(report());
  if (message === "reset") {
    frames = 0;
    dropped = 0;
    delays = [];
    process.send?.("reset");
  }
});
process.on("disconnect", () => process.exit());

let next = 0;
await Promise.all(
  Array.from({ length: CONNECTING_MAX }, async () => {
    while (next < Number(count)) await connect(next++);
  }),
);
process.send?.("connected");
