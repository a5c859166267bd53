import { type Decoded, reject } from "./rejection.ts";
import { formatTimestamp, type TimeUs } from "./timestamp.ts";

/** How far ahead of our clock an event may be: clocks of well kept machines differ by far less. */
export const FUTURE_TOLERANCE_MS = 5 * 60_000;

/** The times that are accepted for storage, both ends included. */
export interface AcceptedTimes {
  oldestUs: TimeUs;
  newestUs: TimeUs;
}

/** What is accepted at `nowMs`: not older than raw rows are kept, not ahead of the clock. */
export function acceptedTimes(nowMs: number, retentionMs: number): AcceptedTimes {
  return { oldestUs: (nowMs - retentionMs) * 1_000, newestUs: (nowMs + FUTURE_TOLERANCE_MS) * 1_000 };
}

/**
 * `value` where its time is accepted, else a rejection. Without this rule one stray year would make the database
 * create a chunk of its own for it, and retention would drop the row at once.
 */
export function checkTime<T>(value: T, timeUs: TimeUs, accepted: AcceptedTimes): Decoded<T> {
  if (timeUs < accepted.oldestUs) {
    return reject(
      "timestamp_too_old",
      `timestamp ${formatTimestamp(timeUs)} is older than what is kept (since ${formatTimestamp(accepted.oldestUs)})`,
    );
  }
  if (timeUs > accepted.newestUs) {
    return reject(
      "timestamp_in_future",
      `timestamp ${formatTimestamp(timeUs)} is more than ${FUTURE_TOLERANCE_MS / 60_000} minutes ahead of the clock`,
    );
  }
  return { ok: true, value };
}
