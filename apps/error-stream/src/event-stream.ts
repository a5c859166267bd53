import { systemClock } from "@timespan/runtime/clock";
import type { Frame } from "./frame.ts";
import type { Connection } from "./subscriber.ts";

/** The body of an answer that goes on and on. */
export interface StreamSink {
  /** Takes `text`. @returns false where the socket is full; it must then be drained before more is written */
  write(text: string): boolean;
  /** Ends the answer after what was written. */
  end(): void;
  /** Drops the connection with what waits for it. */
  abort(): void;
}

/** A comment now and then, so that proxies do not take the connection for a dead one, and a dead one is noticed. */
const PING_MS = 15_000;
/** How long a client should wait before it comes back; each is told another time. */
const RETRY_MS = { min: 1_000, max: 5_000 } as const;

/** A client of Server-Sent Events, as the hub sees its clients. */
export class EventStream implements Connection {
  static readonly HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-store",
    // nginx would collect the events.
    "x-accel-buffering": "no",
  } as const;
  /** What may wait in the engine. */
  static readonly BUFFER_BYTES = 64 * 1024;

  readonly #sink: StreamSink;
  readonly #onClosed: () => void;
  readonly #stopPings: () => void;
  #full = false;
  #closed = false;

  constructor(sink: StreamSink, onClosed: () => void) {
    this.#sink = sink;
    this.#onClosed = onClosed;
    const retryMs = Math.round(RETRY_MS.min + Math.random() * (RETRY_MS.max - RETRY_MS.min));
    this.#write(`retry: ${retryMs}\n\n`);
    this.#stopPings = systemClock.every(PING_MS, () => {
      if (!this.#full) this.#write(": ping\n\n");
    });
  }

  send(frames: readonly Frame[], start: number): number {
    let end = start;
    while (end < frames.length && !this.#closed && !this.#full) {
      let text = "";
      while (end < frames.length && text.length < EventStream.BUFFER_BYTES) {
        text += frames[end]?.serverSentEvent ?? "";
        end++;
      }
      this.#write(text);
    }
    return end - start;
  }

  congested(): boolean {
    return this.#full;
  }

  close(code: number, reason: string): void {
    if (this.#closed) return;
    const full = this.#full;
    if (!full) this.#write(`event: close\ndata: ${JSON.stringify({ code, reason })}\n\n`);
    this.noteClosed();
    if (full) this.#sink.abort();
    else this.#sink.end();
  }

  noteDrained(): void {
    this.#full = false;
  }

  noteClosed(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#stopPings();
    this.#onClosed();
  }

  #write(text: string): void {
    if (this.#closed) return;
    this.#full = !this.#sink.write(text);
  }
}
