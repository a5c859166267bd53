import { parseTimestamp, type TimeUs } from "@timespan/telemetry/timestamp";
import type { ErrorEvent } from "@timespan/telemetry/wire/error-event";
import { advance, type Cursor, type EventPlace, isAfter, justBefore, type Places } from "./event-position.ts";

/** An event that is kept. */
export interface RingEntry {
  event: ErrorEvent;
  /** Undefined for an event with an id of somebody else's. */
  place: EventPlace | undefined;
  /** When it came through Kafka, in milliseconds since the Unix epoch. */
  seenMs: number;
  timeUs: TimeUs;
  /** The `data` of its frame, as JSON. */
  data: string;
}

export interface RingLimits {
  eventsMax: number;
  bytesMax: number;
}

/** What an event costs beside its text. */
const ENTRY_BYTES = 500;

/**
 * The newest events, in the order in which they came, and what is known of those before: for each source up to where
 * events are no longer here. Events are numbered; the numbers never come again.
 */
export class EventRing {
  readonly #limits: RingLimits;
  #entries: (RingEntry | undefined)[] = [];
  /** Index in `#entries` of the oldest that is kept; what is before it was let go. */
  #head = 0;
  #firstNumber = 0;
  #bytes = 0;
  readonly #latest = new Map<number, EventPlace>();
  readonly #before = new Map<number, EventPlace>();
  #latestSeenMs = 0;
  /** Nothing came before what is kept, so a source that is new here begins with its first event. */
  isWhole = false;

  constructor(limits: RingLimits) {
    this.#limits = limits;
  }

  /** Number of the oldest event that is kept. */
  get first(): number {
    return this.#firstNumber;
  }

  /** Number that the next event gets. */
  get next(): number {
    return this.#firstNumber + this.#entries.length - this.#head;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** The last event of each source, kept or not. */
  get latest(): Places {
    return this.#latest;
  }

  /** Up to where events are no longer kept, for each source. */
  get before(): Places {
    return this.#before;
  }

  /** Where a client is that has everything up to now. */
  get cursor(): Cursor {
    return { seenMs: this.#latestSeenMs, places: this.#latest };
  }

  at(number: number): RingEntry | undefined {
    return number < this.#firstNumber ? undefined : this.#entries[this.#head + number - this.#firstNumber];
  }

  /** @param data the event as its frame has it, as JSON */
  add(event: ErrorEvent, data: string, place: EventPlace | undefined, seenMs: number): RingEntry {
    const entry: RingEntry = {
      event,
      place,
      seenMs,
      timeUs: parseTimestamp(event.timestamp) ?? seenMs * 1_000,
      data,
    };
    if (place !== undefined) {
      // Of a source that is new here nothing is known from before its first event.
      if (!this.isWhole && !this.#latest.has(place.sourceId))
        this.#before.set(place.sourceId, justBefore(place));
      advance(this.#latest, place);
    }
    this.#latestSeenMs = Math.max(this.#latestSeenMs, seenMs);
    this.#entries.push(entry);
    this.#bytes += cost(entry);
    this.#letGo();
    return entry;
  }

  /**
   * Notes how far each source is known to be, for those of which nothing was seen: so much is past, and not kept here.
   * @param offsets the first offset of each source that is not past
   */
  notePast(offsets: ReadonlyMap<number, number>): void {
    for (const [sourceId, nextOffset] of offsets) {
      if (nextOffset === 0) continue;
      const past = justBefore({ sourceId, offset: nextOffset, index: 0 });
      if (!this.#latest.has(sourceId)) this.#before.set(sourceId, past);
      advance(this.#latest, past);
    }
  }

  /** Whether everything after `places` is kept. */
  coversAfter(places: Places): boolean {
    for (const place of this.#before.values()) if (isAfter(place, places)) return false;
    return true;
  }

  /** How far the events were when the one at `place` had just come; undefined where it is not kept. */
  placesAt({ sourceId, offset, index }: EventPlace): Cursor | undefined {
    const places = new Map(this.#before);
    for (let number = this.first; number < this.next; number++) {
      const entry = this.at(number);
      if (entry?.place === undefined) continue;
      advance(places, entry.place);
      const { place } = entry;
      if (place.sourceId === sourceId && place.offset === offset && place.index === index) {
        return { seenMs: entry.seenMs, places };
      }
    }
    return undefined;
  }

  #letGo(): void {
    while (
      this.next - this.first > this.#limits.eventsMax ||
      (this.#bytes > this.#limits.bytesMax && this.next > this.first)
    ) {
      const entry = this.#entries[this.#head];
      if (entry === undefined) return;
      if (entry.place !== undefined) advance(this.#before, entry.place);
      this.#bytes -= cost(entry);
      this.#entries[this.#head] = undefined;
      this.#head++;
      this.#firstNumber++;
    }
    // The array is cut now and then, not for each event.
    if (this.#head > 1_000 && this.#head * 2 > this.#entries.length) {
      this.#entries = this.#entries.slice(this.#head);
      this.#head = 0;
    }
  }
}

/** The event and its JSON hold the same texts, so twice the JSON. */
function cost({ data }: RingEntry): number {
  return ENTRY_BYTES + 2 * data.length;
}
