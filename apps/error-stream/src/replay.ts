import type { Clock } from "@timespan/runtime/clock";
import type { Logger } from "@timespan/runtime/logger";
import type { Database } from "@timespan/store/database";
import { readSourceOffsets } from "@timespan/store/ingest/read-source-offsets";
import {
  type ErrorFilter,
  findErrorTime,
  listErrors,
  listNewestErrors,
  type SourceSpan,
  type StoredError,
} from "@timespan/store/log-records/list-errors";
import { formatTimestamp, parseTimestamp, type TimeUs } from "@timespan/telemetry/timestamp";
import { limitErrorEvent } from "@timespan/telemetry/wire/error-event";
import type { EventFilter } from "./event-filter.ts";
import {
  advance,
  type Cursor,
  type EventPlace,
  formatCursor,
  formatEventId,
  INDEX_MAX,
  isAfter,
  justBefore,
  type Places,
} from "./event-position.ts";
import type { EventRing } from "./event-ring.ts";
import { ERROR_LOG, Frame, incompleteFrame } from "./frame.ts";
import type { Subscriber } from "./subscriber.ts";
import type { ReplayStart } from "./subscription.ts";

export interface ReplayerParts {
  ring: EventRing;
  database: Database | undefined;
  clock: Clock;
  logger: Logger;
  /** How long logs are kept in the store. */
  retentionMs: number;
  /** Resolves when further events were published, or `signal` aborts. */
  nextEvents(signal: AbortSignal): Promise<void>;
}

export interface Replayer {
  /**
   * Sends what matches from `start` on, without gap or repeat, and calls `goLive` in the very moment in which the
   * client has everything. What cannot be replayed any more is said in a frame.
   */
  replay(
    subscriber: Subscriber,
    asked: ErrorFilter,
    filter: EventFilter,
    start: ReplayStart,
    signal: AbortSignal,
    goLive: () => void,
  ): Promise<void>;
}

/** Replays that ask the store at once; the others wait for their turn. */
const STORE_REPLAYS_MAX = 4;
/** Errors read from the store at once, and sent before the next are read. */
const STORE_PAGE_EVENTS = 1_000;
/** What is handed to a client at once; it must have taken it before it gets more. */
const CHUNK_BYTES = 64 * 1024;
/** An event may come so much later than it happened and still be replayed from the store to who comes back. */
export const REPLAY_LATENESS_MS = 3_600_000;
/** How long to wait for the store to have what went through Kafka; longer than a broker's restart. */
const STORE_BEHIND_MS_MAX = 60_000;
const STORE_BEHIND_LOOK_MS = 250;
/** How long to wait, once events come, for those that a client already has from another instance. */
const AHEAD_MS_MAX = 10_000;

const NOT_KEPT = "Older errors are not kept any more.";

/** How far one client is. */
interface Progress {
  places: Map<number, EventPlace>;
  /** What it had before it was sent anything of the ring, which has each event once: what is not after it is skipped. */
  had: Places;
  seenMs: number;
  /** Only errors that happened since then, where that was asked for; otherwise 0. */
  fromUs: TimeUs;
  /** What happened before is not looked for in the store. */
  storeFromUs: TimeUs;
  /** The first event of the ring that may be sent. */
  number: number;
}

export function createReplayer(parts: ReplayerParts): Replayer {
  const { ring, database, clock, logger, retentionMs } = parts;
  const turns = new Turns(STORE_REPLAYS_MAX);

  return {
    async replay(subscriber, asked, filter, start, signal, goLive) {
      const progress = await begin(start);
      let aheadSinceMs: number | undefined;
      while (!gone()) {
        if (!ring.coversAfter(progress.places)) {
          await sendFromStore(progress);
          continue;
        }
        if (!(await sendFromRing(progress))) continue;
        // From here to goLive nothing waits, so nothing can come in between.
        if (!isAhead(progress.places)) return goLive();
        // Another instance has sent events that are still on their way to this one. Where none come at all, as while a
        // broker is away, none is missed by waiting.
        await parts.nextEvents(signal);
        aheadSinceMs ??= clock.nowMs();
        if (clock.nowMs() - aheadSinceMs > AHEAD_MS_MAX) {
          tell("The id is of events that are not known here. What follows is new.", null);
          return goLive();
        }
      }

      function gone(): boolean {
        return signal.aborted || subscriber.closed;
      }

      function tell(detail: string, keptFromUs: TimeUs | null): void {
        subscriber.offer([incompleteFrame(detail, keptFromUs === null ? null : formatTimestamp(keptFromUs))]);
      }

      async function begin(start: ReplayStart): Promise<Progress> {
        switch (start.from) {
          case "cursor":
            return fromCursor(start.cursor);
          case "event": {
            const here = ring.placesAt(start.place);
            if (here !== undefined) return fromCursor(here);
            const timeUs = await fromStore((store) => findErrorTime(store, start.place));
            if (timeUs === undefined) {
              tell(`No event with the id ${formatEventId(start.place)} is kept. What follows is new.`, null);
              return now();
            }
            return since(timeUs, [start.place]);
          }
          case "time":
            return since(start.timeUs, []);
          case "last":
            return beginWithLast(start.count);
        }

        function fromCursor({ seenMs, places }: Cursor): Progress {
          tellIfExpired(seenMs * 1_000);
          const storeFromUs = Math.max(0, seenMs - REPLAY_LATENESS_MS) * 1_000;
          return { places: new Map(places), had: places, seenMs, fromUs: 0, storeFromUs, number: ring.first };
        }
        function since(timeUs: TimeUs, known: readonly EventPlace[]): Progress {
          tellIfExpired(timeUs);
          const had = new Map(known.map((place) => [place.sourceId, place]));
          return {
            places: new Map(had),
            had,
            seenMs: Math.floor(timeUs / 1_000),
            fromUs: timeUs,
            storeFromUs: timeUs,
            number: ring.first,
          };
        }
      }

      function now(): Progress {
        const { seenMs, places } = ring.cursor;
        const here = new Map(places);
        return {
          places: here,
          had: new Map(here),
          seenMs,
          fromUs: 0,
          storeFromUs: lateUs(),
          number: ring.next,
        };
      }

      function lateUs(): TimeUs {
        return (clock.nowMs() - REPLAY_LATENESS_MS) * 1_000;
      }

      function tellIfExpired(fromUs: TimeUs): void {
        const keptFromUs = (clock.nowMs() - retentionMs) * 1_000;
        if (database !== undefined && fromUs < keptFromUs) tell(NOT_KEPT, keptFromUs);
      }

      /** The newest `count` that match: from the ring, and what it lacks from the store, which goes out at once. */
      async function beginWithLast(count: number): Promise<Progress> {
        let found = 0;
        let number = ring.next;
        while (found < count && number > ring.first) {
          number--;
          const entry = ring.at(number);
          if (entry !== undefined && filter.matches(entry.event)) found++;
        }
        if (found === count || database === undefined) {
          const before = ring.at(number - 1);
          const places = new Map(ring.before);
          for (let each = ring.first; each < number; each++) {
            const place = ring.at(each)?.place;
            if (place !== undefined) advance(places, place);
          }
          const seenMs = before?.seenMs ?? 0;
          return { places, had: new Map(), seenMs, fromUs: 0, storeFromUs: lateUs(), number };
        }
        const upTo = new Map(ring.before);
        const spans = spansBetween(new Map(), upTo);
        const stored = await fromStore(
          (store) => listNewestErrors(store, subscriber.access, asked, spans, count - found),
          upTo,
        );
        const rows = inOrderOfSources(stored ?? []);
        const places = new Map(upTo);
        // Of each source what is sent begins with its first row.
        for (const row of rows.toReversed()) places.set(row.source_id, justBefore(placeOf(row)));
        const progress = {
          places,
          had: upTo,
          seenMs: 0,
          fromUs: 0,
          storeFromUs: lateUs(),
          number: ring.first,
        };
        await sendRows(progress, rows);
        for (const place of upTo.values()) advance(progress.places, place);
        return progress;
      }

      /** What is after `progress` and no longer in the ring, page by page. */
      async function sendFromStore(progress: Progress): Promise<void> {
        const upTo = new Map(ring.before);
        const spans = spansBetween(progress.places, upTo);
        const rows = await fromStore(
          (store) =>
            listErrors(store, subscriber.access, asked, spans, progress.storeFromUs, STORE_PAGE_EVENTS),
          upTo,
        );
        if (gone()) return;
        if (database === undefined) {
          const keptFromUs = ring.at(ring.first)?.timeUs ?? clock.nowMs() * 1_000;
          if ((progress.fromUs || progress.seenMs * 1_000) < keptFromUs) tell(NOT_KEPT, keptFromUs);
        }
        await sendRows(progress, rows ?? []);
        // A full page may not be the last; anything else was all there is.
        if (rows?.length === STORE_PAGE_EVENTS) return;
        for (const place of upTo.values()) advance(progress.places, place);
        progress.had = new Map(progress.places);
        progress.number = ring.first;
      }

      async function sendRows(progress: Progress, rows: readonly StoredError[]): Promise<void> {
        let frames: Frame[] = [];
        let bytes = 0;
        for (const row of rows) {
          const { data, place, timeUs } = readRow(row);
          advance(progress.places, place);
          progress.seenMs = Math.max(progress.seenMs, Math.floor(timeUs / 1_000));
          const frame = new Frame(ERROR_LOG, data, formatCursor(progress));
          frames.push(frame);
          bytes += frame.bytes;
          if (bytes < CHUNK_BYTES) continue;
          await send(frames);
          if (gone()) return;
          frames = [];
          bytes = 0;
        }
        await send(frames);
      }

      /** What of the ring is after `progress`. @returns false where the ring lost events meanwhile */
      async function sendFromRing(progress: Progress): Promise<boolean> {
        const startedMs = progress.seenMs;
        while (progress.number < ring.next && !gone()) {
          if (ring.first > progress.number) {
            if (!ring.coversAfter(progress.places)) return false;
            progress.number = ring.first;
          }
          const frames: Frame[] = [];
          let bytes = 0;
          while (bytes < CHUNK_BYTES && progress.number < ring.next) {
            const entry = ring.at(progress.number++);
            if (entry === undefined) break;
            const { place, seenMs, timeUs, event, data } = entry;
            const isNew = place === undefined ? seenMs > startedMs : isAfter(place, progress.had);
            if (place !== undefined) advance(progress.places, place);
            progress.seenMs = Math.max(progress.seenMs, seenMs);
            if (!isNew || timeUs < progress.fromUs || !filter.matches(event)) continue;
            const frame = new Frame(ERROR_LOG, data, formatCursor(progress));
            frames.push(frame);
            bytes += frame.bytes;
          }
          if (frames.length > 0) await send(frames);
        }
        return !gone();
      }

      async function send(frames: readonly Frame[]): Promise<void> {
        if (frames.length === 0 || gone()) return;
        subscriber.write(frames);
        await subscriber.taken();
      }

      /**
       * What `ask` answers in its turn; undefined, and the client is told, where there is no answer.
       * @param upTo what the store must have before it is asked: events come through Kafka before they are stored
       */
      async function fromStore<T>(
        ask: (store: Database) => Promise<T>,
        upTo: Places = new Map(),
      ): Promise<T | undefined> {
        if (database === undefined) return undefined;
        const store = database;
        const startedMs = clock.nowMs();
        try {
          while (upTo.size > 0 && !gone()) {
            if (isStored(upTo, await turns.take(() => readSourceOffsets(store)))) break;
            if (clock.nowMs() - startedMs > STORE_BEHIND_MS_MAX) throw new Error("the store is behind Kafka");
            await clock.sleep(STORE_BEHIND_LOOK_MS, signal);
          }
          return await turns.take(async () => (gone() ? undefined : ask(store)));
        } catch (err) {
          logger.warn({ err }, "the store did not answer a replay");
          tell("The store does not answer: errors are missing here.", ring.at(ring.first)?.timeUs ?? null);
          return undefined;
        }
      }
    },
  };

  /** Whether events are known elsewhere, of sources that are known here too, that did not come here yet. */
  function isAhead(places: Places): boolean {
    for (const place of places.values()) {
      if (ring.latest.has(place.sourceId) && isAfter(place, ring.latest)) return true;
    }
    return false;
  }
}

/** @param nextOffsets of each source the first that is not stored; a source that is not in it was given up */
function isStored(upTo: Places, nextOffsets: ReadonlyMap<number, number>): boolean {
  return [...upTo.values()].every(
    ({ sourceId, offset }) => (nextOffsets.get(sourceId) ?? Number.POSITIVE_INFINITY) > offset,
  );
}

/** What stands between `after` and `upTo`, for each source of which there is something. */
function spansBetween(after: Places, upTo: Places): SourceSpan[] {
  return [...upTo.values()]
    .filter((place) => isAfter(place, after))
    .map((place) => ({
      sourceId: place.sourceId,
      after: after.get(place.sourceId) ?? { offset: -1, index: INDEX_MAX },
      upTo: place,
    }));
}

function readRow(row: StoredError): { data: string; place: EventPlace; timeUs: TimeUs } {
  const place = placeOf(row);
  const { type: _, ...data } = limitErrorEvent(
    {
      type: "log",
      event_id: formatEventId(place),
      timestamp: row.timestamp,
      service_name: row.service_name,
      environment: row.environment,
      level: "ERROR",
      message: row.message,
      trace_id: row.trace_id ?? undefined,
      span_id: row.span_id ?? undefined,
    },
    JSON.stringify(row.labels),
  );
  return { data: JSON.stringify(data), place, timeUs: parseTimestamp(row.timestamp) ?? 0 };
}

function placeOf(row: StoredError): EventPlace {
  return { sourceId: row.source_id, offset: Number(row.source_offset), index: row.source_index };
}

/**
 * The rows by time, those of a source in its own order: each counts as happening with the latest before it in its source.
 * @param newestFirst as {@link listNewestErrors} returns them
 */
function inOrderOfSources(newestFirst: readonly StoredError[]): StoredError[] {
  const inSource = newestFirst.toSorted(
    (a, b) =>
      a.source_id - b.source_id ||
      Number(a.source_offset) - Number(b.source_offset) ||
      a.source_index - b.source_index,
  );
  const latestUs = new Map<number, TimeUs>();
  const timed = inSource.map((row) => {
    const timeUs = Math.max(parseTimestamp(row.timestamp) ?? 0, latestUs.get(row.source_id) ?? 0);
    latestUs.set(row.source_id, timeUs);
    return { timeUs, row };
  });
  return timed.sort((a, b) => a.timeUs - b.timeUs).map(({ row }) => row);
}

/** Lets so many run at once; the others wait, in the order in which they came. */
class Turns {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  async take<T>(work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free++;
      else next();
    }
  }
}
