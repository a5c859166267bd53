import type { Clock } from "@timespan/runtime/clock";
import type { Access } from "@timespan/telemetry/access";
import { droppedFrame, ERROR_LOG, type Frame } from "./frame.ts";

/** A client's socket, on whatever engine and in whatever protocol. */
export interface Connection {
  /**
   * Hands frames over, from `start` on, in one write where that is possible, until the socket is full.
   * @returns how many were taken: each of these arrives, unless the connection breaks
   */
  send(frames: readonly Frame[], start: number): number;
  /** Whether some of what was taken still waits here for the socket; `drained` is called when it does no longer. */
  congested(): boolean;
  /** @param code of RFC 6455 */
  close(code: number, reason: string): void;
}

export interface SubscriberLimits {
  /** What may wait for one client; beyond it its oldest events are dropped, and no other client's. */
  clientBytesMax: number;
  clientFramesMax: number;
  /** A client whose socket takes nothing for so long is closed. */
  slowClientMs: number;
}

/** What all clients together got and did not get. */
export interface Tally {
  sentFrames: number;
  droppedEvents: number;
}

/** Close codes of RFC 6455, section 7.4.1, and the registry it opened. */
export const CLOSE = { goingAway: 1001, policyViolation: 1008, tryAgainLater: 1013 } as const;

/** Frames that went out and still stand in the array of what waits. */
const QUEUE_CUT_AT = 4_096;
/** Answers to what a client asks; one that asks on and reads none of them is closed. */
const ANSWERS_WAITING_MAX = 32;

/**
 * One client: what waits for it, within its limits. What its socket does not take waits here and not in the engine, so
 * that the oldest can be dropped, and counted.
 */
export class Subscriber {
  readonly access: Access;
  readonly #connection: Connection;
  readonly #limits: SubscriberLimits;
  readonly #clock: Clock;
  readonly #tally: Tally;
  #queue: Frame[] = [];
  /** Index in `#queue` of the first that still waits. */
  #head = 0;
  #queuedBytes = 0;
  #answersQueued = 0;
  /** Dropped since the client was last told. */
  #dropped = 0;
  #fullSinceMs: number | undefined;
  #closed = false;
  /** Who waits for {@link taken}. */
  #onTaken: (() => void)[] = [];

  constructor(connection: Connection, access: Access, limits: SubscriberLimits, clock: Clock, tally: Tally) {
    this.#connection = connection;
    this.access = access;
    this.#limits = limits;
    this.#clock = clock;
    this.#tally = tally;
  }

  get closed(): boolean {
    return this.#closed;
  }

  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /** Sends frames as they happen. What the socket does not take waits; of what becomes too much the oldest are dropped. */
  offer(frames: readonly Frame[]): void {
    if (this.#closed) return;
    const taken = this.#sendAtOnce(frames);
    if (taken === frames.length) return;
    this.#enqueue(frames, taken);
    this.#dropOldest();
  }

  /** Sends frames whose sender waits for {@link taken} before the next, and of which none is dropped. */
  write(frames: readonly Frame[]): void {
    if (this.#closed) return;
    this.#enqueue(frames, this.#sendAtOnce(frames));
  }

  /** Resolves when the socket has taken everything, or the client is gone. */
  taken(): Promise<void> {
    if (this.#closed || (this.#waits === 0 && this.#fullSinceMs === undefined)) return Promise.resolve();
    return new Promise((resolve) => this.#onTaken.push(resolve));
  }

  /** To be called when the socket takes more again. */
  drained(): void {
    if (this.#closed) return;
    this.#fullSinceMs = undefined;
    // What was dropped came before everything that still waits.
    if (this.#dropped > 0) {
      const told = [droppedFrame(this.#dropped)];
      if (this.#connection.send(told, 0) === 0) {
        this.#noteFull();
        return;
      }
      this.#dropped = 0;
    }
    const sent = this.#waits === 0 ? 0 : this.#connection.send(this.#queue, this.#head);
    this.#tally.sentFrames += sent;
    for (let index = this.#head; index < this.#head + sent; index++) this.#forget(this.#queue[index]);
    this.#head += sent;
    // The array is cut now and then, not for each bit that goes out.
    if (this.#head === this.#queue.length || this.#head > QUEUE_CUT_AT) {
      this.#queue = this.#queue.slice(this.#head);
      this.#head = 0;
    }
    if (this.#waits > 0 || this.#connection.congested()) this.#noteFull();
    else this.#resolveWaiting();
  }

  /** Closes a client whose socket has taken nothing for too long. To be called now and then. @returns whether it did */
  closeIfStalled(): boolean {
    if (this.#fullSinceMs === undefined || this.#closed) return false;
    // An engine may find room in the very moment in which it said that there is none, and not say so again.
    if (!this.#connection.congested()) {
      this.drained();
      return false;
    }
    if (this.#clock.nowMs() - this.#fullSinceMs < this.#limits.slowClientMs) return false;
    this.close(CLOSE.tryAgainLater, "too slow");
    return true;
  }

  close(code: number, reason: string): void {
    this.#connection.close(code, reason);
  }

  /** To be called when the connection is gone, whoever closed it. */
  left(): void {
    this.#closed = true;
    this.#queue = [];
    this.#head = 0;
    this.#queuedBytes = 0;
    this.#resolveWaiting();
  }

  /** How many frames wait. */
  get #waits(): number {
    return this.#queue.length - this.#head;
  }

  #sendAtOnce(frames: readonly Frame[]): number {
    if (this.#waits > 0 || this.#dropped > 0 || this.#fullSinceMs !== undefined) return 0;
    const taken = this.#connection.send(frames, 0);
    this.#tally.sentFrames += taken;
    if (taken < frames.length || this.#connection.congested()) this.#noteFull();
    return taken;
  }

  #noteFull(): void {
    this.#fullSinceMs ??= this.#clock.nowMs();
  }

  #enqueue(frames: readonly Frame[], start: number): void {
    for (let index = start; index < frames.length; index++) {
      const frame = frames[index];
      if (frame === undefined) continue;
      this.#queue.push(frame);
      this.#queuedBytes += frame.bytes;
      if (frame.event !== ERROR_LOG) this.#answersQueued++;
    }
    if (this.#answersQueued > ANSWERS_WAITING_MAX) this.close(CLOSE.tryAgainLater, "answers are not read");
  }

  #forget(frame: Frame | undefined): void {
    if (frame === undefined) return;
    this.#queuedBytes -= frame.bytes;
    if (frame.event !== ERROR_LOG) this.#answersQueued--;
  }

  #dropOldest(): void {
    const { clientBytesMax, clientFramesMax } = this.#limits;
    if (this.#queuedBytes <= clientBytesMax && this.#waits <= clientFramesMax) return;
    // Down to three quarters, so that a client that stays away does not cost this for every frame.
    const kept: Frame[] = [];
    let count = 0;
    const waiting = this.#queue.slice(this.#head);
    for (const [index, frame] of waiting.entries()) {
      const left = waiting.length - index + kept.length;
      const fits = this.#queuedBytes <= clientBytesMax * 0.75 && left <= Math.ceil(clientFramesMax * 0.75);
      if (fits || frame.event !== ERROR_LOG) {
        kept.push(frame);
        continue;
      }
      this.#forget(frame);
      count++;
    }
    this.#queue = kept;
    this.#head = 0;
    this.#dropped += count;
    this.#tally.droppedEvents += count;
  }

  #resolveWaiting(): void {
    const waiting = this.#onTaken;
    this.#onTaken = [];
    for (const resolve of waiting) resolve();
  }
}
