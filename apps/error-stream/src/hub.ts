import type { Clock } from "@timespan/runtime/clock";
import type { Logger } from "@timespan/runtime/logger";
import type { Registry } from "@timespan/runtime/metrics";
import type { Database } from "@timespan/store/database";
import type { Access } from "@timespan/telemetry/access";
import type { DecodedErrorEvent } from "@timespan/telemetry/wire/error-event";
import { compileFilter, type EventFilter } from "./event-filter.ts";
import { formatCursor, parseEventId } from "./event-position.ts";
import { EventRing, type RingLimits } from "./event-ring.ts";
import { ERROR_LOG, Frame } from "./frame.ts";
import { createHubMetrics, type HubMetrics } from "./hub-metrics.ts";
import { createReplayer, type Replayer } from "./replay.ts";
import { SeenIds } from "./seen-ids.ts";
import { CLOSE, type Connection, Subscriber, type SubscriberLimits, type Tally } from "./subscriber.ts";
import type { Subscription } from "./subscription.ts";

export interface HubLimits extends SubscriberLimits {
  ring: RingLimits;
  /** How long logs are kept in the store. */
  retentionMs: number;
}

/** Where older events are read from; undefined where there is no store. */
export interface HubParts {
  limits: HubLimits;
  clock: Clock;
  logger: Logger;
  registry: Registry;
  database: Database | undefined;
}

/** An event as it came through Kafka. */
export interface ReceivedEvent extends DecodedErrorEvent {
  /** The record's time, in milliseconds since the Unix epoch. */
  recordMs: number;
}

/** Ids remembered to drop what Kafka delivers twice: some minutes of a heavy storm of errors. */
const REMEMBERED_IDS_MAX = 100_000;
/** How often clients are looked at that take nothing; a quarter of what they are given, within these. */
const STALL_LOOK_MS = { min: 20, max: 1_000 } as const;
/** Those who are told to come back within so many milliseconds do not all come at once. */
export const RETRY_SPREAD_MS = 5_000;

/** Clients that see the same events. */
interface Group {
  filter: EventFilter;
  members: Set<Subscriber>;
  /** What was received since the last flush. */
  pending: Frame[];
}

interface Membership {
  group: Group | undefined;
  /** Aborted when the client leaves or asks for something else. */
  replaying: AbortController | undefined;
}

/**
 * Fans errors out to clients. Knows nothing of sockets or Kafka, so it runs on any engine. Clients that share a filter
 * share its work: an event is matched once for all of them, and becomes a frame once for all clients.
 */
export class Hub {
  readonly metrics: HubMetrics;
  readonly #parts: HubParts;
  readonly #ring: EventRing;
  readonly #replayer: Replayer;
  readonly #groups = new Map<string, Group>();
  readonly #members = new Map<Subscriber, Membership>();
  readonly #tally: Tally = { sentFrames: 0, droppedEvents: 0 };
  readonly #seen = new SeenIds(REMEMBERED_IDS_MAX);
  readonly #onFlush = new Set<() => void>();
  readonly #stopTimer: () => void;

  constructor(parts: HubParts) {
    this.#parts = parts;
    this.#ring = new EventRing(parts.limits.ring);
    this.#replayer = createReplayer({
      ring: this.#ring,
      database: parts.database,
      clock: parts.clock,
      logger: parts.logger,
      retentionMs: parts.limits.retentionMs,
      nextEvents: (signal) => this.#nextFlush(signal),
    });
    this.metrics = createHubMetrics(parts.registry, parts.clock, this.#ring, this.#members, this.#tally);
    const lookMs = Math.min(STALL_LOOK_MS.max, Math.max(STALL_LOOK_MS.min, parts.limits.slowClientMs / 4));
    this.#stopTimer = parts.clock.every(lookMs, () => this.#closeStalled());
  }

  /**
   * Takes what came before the live end: it can be replayed, and is not sent.
   * @param storedUpTo the first offset of each source that was not stored before that end was looked for
   * @param isWhole whether nothing came through Kafka before these events
   */
  takeBacklog(
    events: readonly ReceivedEvent[],
    storedUpTo: ReadonlyMap<number, number>,
    isWhole: boolean,
  ): void {
    // A store may have older ones all the same: a topic can be made anew.
    this.#ring.isWhole = isWhole && this.#parts.database === undefined;
    for (const received of events) this.#add(received);
    this.#ring.notePast(storedUpTo);
  }

  /** Takes new events and sends each to whoever it matches, unless it was sent before. */
  publish(events: readonly ReceivedEvent[]): void {
    for (const received of events) {
      const entry = this.#add(received);
      if (entry === undefined) continue;
      let frame: Frame | undefined;
      for (const group of this.#groups.values()) {
        if (!group.filter.matches(entry.event)) continue;
        frame ??= new Frame(ERROR_LOG, entry.data, formatCursor(this.#ring.cursor));
        group.pending.push(frame);
      }
    }
    this.#flush();
  }

  /** Takes a client in; it gets nothing before it has subscribed. */
  enter(connection: Connection, access: Access): Subscriber {
    const { limits, clock } = this.#parts;
    const subscriber = new Subscriber(connection, access, limits, clock, this.#tally);
    this.#members.set(subscriber, { group: undefined, replaying: undefined });
    return subscriber;
  }

  /** Sends the client what it asks for, from where it asks for it, instead of what it asked for before. */
  subscribe(subscriber: Subscriber, subscription: Subscription): void {
    const membership = this.#members.get(subscriber);
    if (membership === undefined) return;
    this.#unsubscribe(subscriber, membership);
    const filter = compileFilter(subscription.filter, subscriber.access);
    if (subscription.replay === undefined) {
      this.#join(subscriber, membership, filter);
      return;
    }
    const replaying = new AbortController();
    membership.replaying = replaying;
    this.metrics.replays.inc();
    this.#replayer
      .replay(subscriber, subscription.filter, filter, subscription.replay, replaying.signal, () => {
        membership.replaying = undefined;
        this.#join(subscriber, membership, filter);
      })
      .catch((err) => {
        this.#parts.logger.error({ err }, "a replay failed");
        subscriber.close(CLOSE.tryAgainLater, "replay failed");
      });
  }

  /** To be called when a client's connection is gone. */
  leave(subscriber: Subscriber): void {
    const membership = this.#members.get(subscriber);
    if (membership === undefined) return;
    this.#unsubscribe(subscriber, membership);
    this.#members.delete(subscriber);
    subscriber.left();
  }

  /** Tells every client that the server stops, and when to come back. */
  closeAll(): void {
    this.#stopTimer();
    for (const subscriber of this.#members.keys()) {
      const retryMs = Math.floor(Math.random() * RETRY_SPREAD_MS);
      subscriber.close(CLOSE.goingAway, JSON.stringify({ retry_ms: retryMs }));
    }
  }

  #add({ event, data, recordMs }: ReceivedEvent) {
    const place = parseEventId(event.event_id);
    if (!this.#seen.add(event.event_id, place)) {
      this.metrics.repeats.inc();
      return undefined;
    }
    this.metrics.events.inc();
    return this.#ring.add(event, data, place, recordMs);
  }

  #flush(): void {
    for (const group of this.#groups.values()) {
      const frames = group.pending;
      if (frames.length === 0) continue;
      group.pending = [];
      for (const member of group.members) member.offer(frames);
    }
    for (const done of [...this.#onFlush]) done();
  }

  #nextFlush(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const done = () => {
        this.#onFlush.delete(done);
        signal.removeEventListener("abort", done);
        resolve();
      };
      this.#onFlush.add(done);
      signal.addEventListener("abort", done, { once: true });
    });
  }

  #join(subscriber: Subscriber, membership: Membership, filter: EventFilter): void {
    let group = this.#groups.get(filter.key);
    if (group === undefined) {
      group = { filter, members: new Set(), pending: [] };
      this.#groups.set(filter.key, group);
    }
    group.members.add(subscriber);
    membership.group = group;
  }

  #unsubscribe(subscriber: Subscriber, membership: Membership): void {
    membership.replaying?.abort();
    membership.replaying = undefined;
    const { group } = membership;
    if (group === undefined) return;
    membership.group = undefined;
    group.members.delete(subscriber);
    if (group.members.size === 0) this.#groups.delete(group.filter.key);
  }

  #closeStalled(): void {
    for (const subscriber of this.#members.keys()) {
      if (subscriber.closeIfStalled()) this.metrics.slowClients.inc();
    }
  }
}
