import type { LogEvent, SpanEvent } from "./events.ts";
import { createRandom } from "./random.ts";
import { type Incident, incidentsAt } from "./shop-incidents.ts";
import { ENTRY_POINTS } from "./shop-operations.ts";
import { TraceRecorder } from "./shop-trace.ts";

/** Of all traces, how many lost one span that had children, as happens to a process that crashes: 0..1. */
export const INCOMPLETE_TRACE_SHARE = 0.01;

const STAGING_SHARE = 0.15;
const DAY_MS = 86_400_000;
const WAVE_MS = 7 * 60_000;
/** Separates the drawing of start times from the drawing of traces. */
const START_TIMES_STREAM = 100;

export interface Shop {
  /**
   * The trace that starts at `startMs` (epoch milliseconds, fractions down to a microsecond count), with its logs.
   * Spans come in the order they ended, so most children come before their parents. A child lies within its parent's
   * time, except a CONSUMER, which starts after the PRODUCER that is its parent.
   */
  trace(startMs: number): { spans: SpanEvent[]; logs: LogEvent[] };
  /** When the traces of `[fromMs, toMs)` start: epoch milliseconds, ascending, each once. */
  startTimes(fromMs: number, toMs: number): number[];
  /** Traces a second at `atMs`: a daily wave and one of seven minutes around the average. */
  ratePerSecond(atMs: number): number;
  /** What is going wrong in production at `atMs`. */
  incidents(atMs: number): Incident[];
}

/**
 * A small shop of ten services in production and staging. Everything it does is a function of `seed` and time, so
 * any window can be made again, in any order; `tracesPerSecond` (the average) changes only how many there are.
 */
export function createShop({ seed, tracesPerSecond = 10 }: { seed: number; tracesPerSecond?: number }): Shop {
  /** 1 on average, between 0.45 and 1.55. */
  const load = (atMs: number) =>
    1 + 0.35 * Math.sin((2 * Math.PI * atMs) / DAY_MS) + 0.2 * Math.sin((2 * Math.PI * atMs) / WAVE_MS);

  const shop: Shop = {
    trace(startMs) {
      const startUs = Math.round(startMs * 1_000);
      const random = createRandom(seed, startUs);
      const staging = random.next() < STAGING_SHARE;
      const recorder = new TraceRecorder(random, {
        environment: staging ? "staging" : "production",
        incidents: staging ? [] : shop.incidents(startMs),
        slowdownFactor: (staging ? 1.4 : 1) * (0.7 + 0.3 * load(startMs)),
        failureShare: staging ? 0.003 : 0.001,
      });
      recorder.perform(pickEntryPoint(random.next()), null, startUs);
      const { spans, logs } = recorder.events();
      if (random.next() >= INCOMPLETE_TRACE_SHARE) return { spans, logs };
      const parentIds = [...new Set(spans.map((span) => span.parent_span_id).filter((id) => id !== null))];
      const lost = parentIds[Math.floor(random.next() * parentIds.length)];
      return { spans: spans.filter((span) => span.span_id !== lost), logs };
    },

    startTimes(fromMs, toMs) {
      const times: number[] = [];
      for (let second = Math.floor(fromMs / 1_000); second * 1_000 < toMs; second++) {
        const random = createRandom(seed, second, START_TIMES_STREAM);
        const count = Math.floor(shop.ratePerSecond(second * 1_000) + random.next());
        for (let slot = 0; slot < count; slot++) {
          // One trace in each of `count` equal slots of the second: ascending, and never two at once.
          const offsetUs = Math.floor(((slot + random.next()) / count) * 1_000_000);
          const startMs = second * 1_000 + offsetUs / 1_000;
          if (startMs >= fromMs && startMs < toMs) times.push(startMs);
        }
      }
      return times;
    },

    ratePerSecond: (atMs) => tracesPerSecond * load(atMs),

    incidents: (atMs) => incidentsAt(seed, atMs),
  };
  return shop;
}

const ENTRY_WEIGHT = ENTRY_POINTS.reduce((sum, { weight }) => sum + weight, 0);

function pickEntryPoint(uniform: number) {
  let left = uniform * ENTRY_WEIGHT;
  const picked = ENTRY_POINTS.find(({ weight }) => {
    left -= weight;
    return left < 0;
  });
  if (picked === undefined) throw new Error("a share of less than 1 always falls to an entry point");
  return picked.operation;
}
