import { parseTimestamp, type TimeUs } from "./timestamp.ts";

/** A window of time, `from` included and `to` not; null where it is open at that end. */
export interface TimeRange {
  fromUs: TimeUs | null;
  toUs: TimeUs | null;
}

/** What can be asked for. Beyond 2200 a microsecond is no longer exact in a double for long. */
export const TIME_MIN_US: TimeUs = 0;
export const TIME_MAX_US: TimeUs = Date.UTC(2200, 0, 1) * 1_000;

/** Longest window that can be asked for: more than any rollup is kept. */
export const WINDOW_DAYS_MAX = 400;
const WINDOW_US_MAX = WINDOW_DAYS_MAX * 86_400e6;

/** Epoch milliseconds below this (3 March 1973) are epoch seconds of today that somebody forgot to multiply. */
const EPOCH_MS_MIN = 100_000_000_000;

const EPOCH_MS = /^-?\d{1,20}$/;
const RELATIVE = /^now(?:-(\d{1,9})([smhdw]))?$/;
const US_PER_UNIT = { s: 1e6, m: 60e6, h: 3_600e6, d: 86_400e6, w: 604_800e6 } as const;
const OFFSET = /(?:Z|z|[+-]\d{2}(?::?\d{2})?)$/;
/** In a URL `+` means a blank, so `…T15:00:00+01:00` arrives like this unless the client escaped it. */
const BLANK_FOR_PLUS = /(T\d{2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?) (\d{2}:?\d{2}|\d{2})$/;

const FORMS = "an ISO 8601 time with offset, epoch milliseconds, or relative such as now-15m";

export type ParsedTime = { ok: true; timeUs: TimeUs } | { ok: false; reason: string };

/**
 * Reads a time as a client writes it: ISO 8601 with offset, epoch milliseconds, or `now` and `now-15m` (s, m, h, d,
 * w) counted from `nowMs`. What it is not, the reason says in words for the client.
 */
export function parseTime(text: string, nowMs: number): ParsedTime {
  const relative = RELATIVE.exec(text);
  if (relative !== null) {
    const [, count = "0", unit = "s"] = relative;
    return within(nowMs * 1_000 - Number(count) * US_PER_UNIT[unit as keyof typeof US_PER_UNIT]);
  }
  if (EPOCH_MS.test(text)) {
    const epochMs = Number(text);
    if (epochMs > 0 && epochMs < EPOCH_MS_MIN) {
      return { ok: false, reason: "looks like seconds; epoch times are in milliseconds" };
    }
    return within(epochMs * 1_000);
  }
  const iso = text.replace(BLANK_FOR_PLUS, "$1+$2");
  const timeUs = parseTimestamp(iso);
  if (timeUs === undefined) return { ok: false, reason: `must be ${FORMS}` };
  if (!OFFSET.test(iso)) return { ok: false, reason: "needs an offset, such as Z or +02:00" };
  return within(timeUs);
}

function within(timeUs: TimeUs): ParsedTime {
  if (timeUs < TIME_MIN_US) return { ok: false, reason: "must not be before 1970" };
  if (timeUs >= TIME_MAX_US) return { ok: false, reason: "must be before the year 2200" };
  return { ok: true, timeUs };
}

export type ResolvedTimeRange =
  | { ok: true; range: TimeRange }
  | { ok: false; problems: { name: "from" | "to"; reason: string }[] };

/**
 * The window that `from` and `to` of a request describe, at `nowMs`. Without `defaultWindowMs` an end that was not
 * given stays open; with it, the window ends now and is so long.
 */
export function resolveTimeRange(
  given: { from?: string | undefined; to?: string | undefined },
  nowMs: number,
  defaultWindowMs?: number,
): ResolvedTimeRange {
  const from = given.from === undefined ? undefined : parseTime(given.from, nowMs);
  const to = given.to === undefined ? undefined : parseTime(given.to, nowMs);
  const problems: { name: "from" | "to"; reason: string }[] = [];
  if (from?.ok === false) problems.push({ name: "from", reason: from.reason });
  if (to?.ok === false) problems.push({ name: "to", reason: to.reason });
  if (from?.ok === false || to?.ok === false) return { ok: false, problems };

  let fromUs = from?.timeUs ?? null;
  let toUs = to?.timeUs ?? null;
  if (defaultWindowMs !== undefined) {
    toUs ??= nowMs * 1_000;
    fromUs ??= Math.max(TIME_MIN_US, toUs - defaultWindowMs * 1_000);
  }
  if (fromUs !== null && toUs !== null && fromUs >= toUs) {
    const reason = to === undefined ? "must be before now, where the window ends" : "must be before to";
    return { ok: false, problems: [{ name: "from", reason }] };
  }
  if (fromUs !== null && (toUs ?? nowMs * 1_000) - fromUs > WINDOW_US_MAX) {
    const end = to === undefined ? "now" : "to";
    return {
      ok: false,
      problems: [{ name: "from", reason: `must be at most ${WINDOW_DAYS_MAX} days before ${end}` }],
    };
  }
  return { ok: true, range: { fromUs, toUs } };
}
