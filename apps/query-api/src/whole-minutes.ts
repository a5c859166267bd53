import type { Window } from "@timespan/store/query/request-segments";

const MINUTE_US = 60_000_000;

/** The window, widened to the whole minutes that edges are kept by. */
export function wholeMinutes({ fromUs, toUs }: Window): Window {
  return {
    fromUs: Math.floor(fromUs / MINUTE_US) * MINUTE_US,
    toUs: Math.ceil(toUs / MINUTE_US) * MINUTE_US,
  };
}
