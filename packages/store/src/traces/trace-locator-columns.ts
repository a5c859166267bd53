import type { TimeUs } from "@timespan/telemetry/timestamp";
import type { CopyColumn } from "../copy/copy-encoder.ts";

export interface TraceLocation {
  traceId: string;
  firstTimeUs: TimeUs;
  lastTimeUs: TimeUs;
}

/** The columns of `timespan.trace_locator` and how a row fills each. */
export const traceLocatorColumns: readonly CopyColumn<TraceLocation>[] = [
  { name: "first_time", write: (to, row) => to.timestamptz(row.firstTimeUs) },
  { name: "last_time", write: (to, row) => to.timestamptz(row.lastTimeUs) },
  { name: "trace_id", write: (to, row) => to.uuidFromHex(row.traceId) },
];

/** When each trace of a batch happened. */
export class TraceLocations {
  readonly #locations = new Map<string, TraceLocation>();
  #latest: TraceLocation | undefined;

  extend(traceId: string, timeUs: TimeUs): void {
    // The spans of a trace often come one after the other.
    let location = this.#latest?.traceId === traceId ? this.#latest : this.#locations.get(traceId);
    if (location === undefined) {
      location = { traceId, firstTimeUs: timeUs, lastTimeUs: timeUs };
      this.#locations.set(traceId, location);
    } else if (timeUs < location.firstTimeUs) location.firstTimeUs = timeUs;
    else if (timeUs > location.lastTimeUs) location.lastTimeUs = timeUs;
    this.#latest = location;
  }

  /** Ordered by trace id. */
  sorted(): TraceLocation[] {
    // Without a function to compare them, texts are sorted several times faster.
    return [...this.#locations.keys()].sort().flatMap((traceId) => this.#locations.get(traceId) ?? []);
  }
}
