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
  return parseUtc(text) ?? parseIso8601(text);
}

/** The form that nearly every producer writes, `YYYY-MM-DDTHH:MM:SS[.fraction]Z`, read digit by digit. */
function parseUtc(text: string): TimeUs | undefined {
  const end = text.length - 1;
  if (end < 19 || end > 29 || text.charCodeAt(10) !== CODE.T || text.charCodeAt(end) !== CODE.Z)
    return undefined;
  if (end > 19 && text.charCodeAt(19) !== CODE.dot) return undefined;
  if (text.charCodeAt(4) !== CODE.dash || text.charCodeAt(7) !== CODE.dash) return undefined;
  if (text.charCodeAt(13) !== CODE.colon || text.charCodeAt(16) !== CODE.colon) return undefined;
  const month = digits(text, 5, 7);
  const day = digits(text, 8, 10);
  const hour = digits(text, 11, 13);
  const minute = digits(text, 14, 16);
  const second = digits(text, 17, 19);
  let fraction = end > 20 ? digits(text, 20, Math.min(end, 26)) : 0;
  for (let position = end; position < 26; position++) fraction *= 10;
  // NaN is in no range; days that only some months have are left to the careful reader.
  if (!(month >= 1 && month <= 12 && day >= 1 && day <= 28 && hour <= 23 && minute <= 59 && second <= 59))
    return undefined;
  const timeUs =
    Date.UTC(digits(text, 0, 4), month - 1, day, hour, minute, second) * 1_000 + (end > 20 ? fraction : 0);
  return Number.isNaN(timeUs) || digits(text, 0, 4) < 100 ? undefined : timeUs;
}

const CODE = { dash: 45, dot: 46, zero: 48, colon: 58, T: 84, Z: 90 } as const;

/** The number that stands in `text` from `start` to `end`; NaN where something else does. */
function digits(text: string, start: number, end: number): number {
  let value = 0;
  for (let index = start; index < end; index++) {
    const digit = text.charCodeAt(index) - CODE.zero;
    if (digit < 0 || digit > 9) return Number.NaN;
    value = value * 10 + digit;
  }
  return value;
}

function parseIso8601(text: string): TimeUs | undefined {
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
