import { environmentName } from "@timespan/telemetry/environment-name";
import { parseTimestamp } from "@timespan/telemetry/timestamp";
import type { SpanEvent } from "@timespan/testing/workload/events";

/** Figures of requests computed from events as the contract words them, sharing no code with the product's queries. */
export interface Window {
  fromUs: number;
  toUs: number;
}

export const timeUs = (event: SpanEvent) => parseTimestamp(event.timestamp) ?? Number.NaN;
const weight = (event: SpanEvent) => Number(event.labels?.sample_rate ?? 1);

/** The SERVER spans of a window that also pass `matches`. */
export function requestsOf(
  events: readonly SpanEvent[],
  { fromUs, toUs }: Window,
  matches: (event: SpanEvent) => boolean = () => true,
): SpanEvent[] {
  return events.filter(
    (event) => event.kind === "SERVER" && timeUs(event) >= fromUs && timeUs(event) < toUs && matches(event),
  );
}

export const inEnvironment = (environment: string) => (event: SpanEvent) =>
  environmentName(event.environment) === environment;

export const count = (requests: readonly SpanEvent[]) =>
  requests.reduce((sum, event) => sum + weight(event), 0);

export const errorRate = (requests: readonly SpanEvent[]) =>
  requests.length === 0 ? 0 : count(requests.filter(({ status }) => status === "ERROR")) / count(requests);

/** `percentile_disc(q)` of the durations: the smallest that at least q of the weight does not exceed. */
export function exactQuantile(requests: readonly SpanEvent[], q: number): number | null {
  const sorted = requests.toSorted((a, b) => a.duration_ms - b.duration_ms);
  const target = q * count(requests);
  let reached = 0;
  for (const event of sorted) {
    reached += weight(event);
    if (reached >= target) return event.duration_ms;
  }
  return null;
}
