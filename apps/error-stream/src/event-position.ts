/**
 * Where events stand. An event's id is its place in the source it came from, a partition of the topics of logs: source,
 * offset, position within the record. Sources have no order among each other, and two instances may see them
 * interleaved differently; so how far a client is is said for every source at once, in a cursor.
 */
export interface EventPlace {
  sourceId: number;
  offset: number;
  index: number;
}

/** The last event of each source that was seen. */
export type Places = ReadonlyMap<number, EventPlace>;

export interface Cursor {
  /** When the newest event up to here came through Kafka, in milliseconds since the Unix epoch. */
  seenMs: number;
  places: Places;
}

/** A cursor longer than this is none of ours: room for a thousand partitions. */
export const CURSOR_CHARACTERS_MAX = 40_000;
/** The greatest position within a record: a place with it stands for "everything up to this offset". */
export const INDEX_MAX = 2_147_483_647;

const PLACE = /^(\d{1,5})-(\d{1,15})-(\d{1,10})$/;

/** The place that an event's id names; undefined for an id of somebody else's. */
export function parseEventId(id: string): EventPlace | undefined {
  const match = PLACE.exec(id);
  if (match === null) return undefined;
  const [sourceId = 0, offset = 0, index = 0] = match.slice(1).map(Number);
  return sourceId > 32_767 || index > INDEX_MAX ? undefined : { sourceId, offset, index };
}

export function formatEventId({ sourceId, offset, index }: EventPlace): string {
  return `${sourceId}-${offset}-${index}`;
}

/** `<milliseconds>~<place>~<place>…`: nothing in it has to be escaped in a URL. */
export function formatCursor({ seenMs, places }: Cursor): string {
  let text = `${seenMs}~`;
  let separator = "";
  for (const place of places.values()) {
    text += separator + formatEventId(place);
    separator = "~";
  }
  return text;
}

/** The cursor that was written by {@link formatCursor}; undefined for any other text. */
export function parseCursor(text: string): Cursor | undefined {
  if (text.length > CURSOR_CHARACTERS_MAX) return undefined;
  const [seen = "", ...ids] = text.split("~");
  if (!/^\d{1,15}$/.test(seen) || ids.length === 0) return undefined;
  const places = new Map<number, EventPlace>();
  for (const id of ids) {
    if (id === "" && ids.length === 1) break;
    const place = parseEventId(id);
    if (place === undefined) return undefined;
    advance(places, place);
  }
  return { seenMs: Number(seen), places };
}

/** Whether `place` comes after what `places` say of its source. */
export function isAfter(place: EventPlace, places: Places): boolean {
  const seen = places.get(place.sourceId);
  return seen === undefined || compare(place, seen) > 0;
}

/** Moves `places` on to `place`, never back. */
export function advance(places: Map<number, EventPlace>, place: EventPlace): void {
  if (isAfter(place, places)) places.set(place.sourceId, place);
}

/** The place right before `place`: everything that comes after it begins with `place`. */
export function justBefore({ sourceId, offset, index }: EventPlace): EventPlace {
  return index > 0
    ? { sourceId, offset, index: index - 1 }
    : { sourceId, offset: offset - 1, index: INDEX_MAX };
}

function compare(a: EventPlace, b: EventPlace): number {
  return a.offset - b.offset || a.index - b.index;
}
