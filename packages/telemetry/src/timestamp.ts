/** Microseconds since the Unix epoch: PostgreSQL's own resolution, exact in a double until the year 2255. */
export type TimeUs = number;

const ISO_8601 =
  /^(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?\s*(Z|z|[+-]\d{2}:?\d{2}|[+-]\d{2})?$/;

/**
 * Microseconds of an ISO 8601 date and time; digits beyond the sixth of a second are cut off. A text without an
 * offset is UTC: events come from machines whose local zone nobody knows.
 * `undefined` where the text is no such time, or no such day exists.
 */
export function parseTimestamp(text: string): TimeUs | undefined {
  const match = ISO_8601.exec(text);
  if (match === null) return undefined;
  const [, date, minutes, seconds = "00", fraction = "", zone = "Z"] = match;
  const epochMs = Date.parse(`${date}T${minutes}:${seconds}.000${normalizeOffset(zone)}`);
  // Date.parse accepts 30 February and moves it to March; a day that does not exist is no timestamp.
  if (Number.isNaN(epochMs) || !dayExists(date as string)) return undefined;
  return epochMs * 1_000 + Number(fraction.slice(0, 6).padEnd(6, "0"));
}

function normalizeOffset(zone: string): string {
  if (zone === "Z" || zone === "z") return "Z";
  const digits = zone.slice(1).replace(":", "").padEnd(4, "0");
  return `${zone[0]}${digits.slice(0, 2)}:${digits.slice(2)}`;
}

function dayExists(date: string): boolean {
  return new Date(`${date}T00:00:00Z`).toJSON()?.startsWith(date) ?? false;
}

/** ISO 8601 in UTC with microseconds, such as `2026-11-21T15:00:00.000250Z`. */
export function formatTimestamp(timeUs: TimeUs): string {
  const ms = Math.floor(timeUs / 1_000);
  const us = timeUs - ms * 1_000;
  return `${new Date(ms).toISOString().slice(0, -1)}${String(us).padStart(3, "0")}Z`;
}
