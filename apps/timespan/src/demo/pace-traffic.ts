import { createBackoff } from "@timespan/runtime/backoff";
import { type Clock, systemClock } from "@timespan/runtime/clock";
import type { Logger } from "@timespan/runtime/logger";
import type { LogEvent, SpanEvent } from "@timespan/testing/workload/events";
import { createShop, type Shop } from "@timespan/testing/workload/shop";

/** How far back the charts are filled before steady traffic begins, and how densely beside it (0..1). */
export const BACKFILL_MS = 15 * 60_000;
export const BACKFILL_SHARE = 0.2;
/** More than this much work is never caught up with: traces that should have started earlier are skipped. */
export const BEHIND_MS_MAX = 1_000;
const BACKFILL_STEP_MS = 10_000;
const TICK_MS = 100;
const SEND_EVENTS_MAX = 1_000;

/** An event and when it leaves its service: spans when they end, logs when they are written. */
interface Departure {
  atMs: number;
  event: SpanEvent | LogEvent;
}

/**
 * Sends the shop's traces as the clock passes, until `signal` aborts: first the last {@link BACKFILL_MS} at once, then
 * steadily. Events leave in the order they happen. `send` is tried again until it succeeds; meanwhile nothing more is
 * generated, and what then lies further back than {@link BEHIND_MS_MAX} is skipped, with a log line saying how much.
 */
export async function paceTraffic({
  seed,
  tracesPerSecond,
  send,
  signal,
  log,
  clock = systemClock,
}: {
  seed: number;
  tracesPerSecond: number;
  send: (events: readonly (SpanEvent | LogEvent)[]) => Promise<void>;
  signal: AbortSignal;
  log: Logger;
  clock?: Clock;
}): Promise<void> {
  const backoff = createBackoff({ initialMs: 250, maxMs: 10_000 });
  /** What started traces have yet to send: bounded by the rate and the few seconds a trace lasts. */
  let waiting: Departure[] = [];
  let reachedMs = clock.nowMs() - BACKFILL_MS;
  let sentCount = 0;

  const deliver = async (events: (SpanEvent | LogEvent)[]) => {
    while (!signal.aborted) {
      try {
        await send(events);
        sentCount += events.length;
        return backoff.reset();
      } catch (err) {
        const delayMs = backoff.nextMs();
        log.warn({ err, delay_ms: Math.round(delayMs) }, "Kafka did not take the events; trying again");
        await clock.sleep(delayMs, signal);
      }
    }
  };

  /** Starts the traces of `[reachedMs, toMs)` and sends everything that has happened by `toMs`. */
  const advance = async (shop: Shop, toMs: number) => {
    for (const startMs of shop.startTimes(reachedMs, toMs)) waiting.push(...departures(shop.trace(startMs)));
    const happened = waiting.filter(({ atMs }) => atMs <= toMs).sort((x, y) => x.atMs - y.atMs);
    waiting = waiting.filter(({ atMs }) => atMs > toMs);
    reachedMs = toMs;
    for (let from = 0; from < happened.length; from += SEND_EVENTS_MAX) {
      await deliver(happened.slice(from, from + SEND_EVENTS_MAX).map(({ event }) => event));
    }
  };

  const thinned = createShop({ seed, tracesPerSecond: tracesPerSecond * BACKFILL_SHARE });
  while (!signal.aborted && clock.nowMs() - reachedMs > BEHIND_MS_MAX) {
    await advance(thinned, Math.min(reachedMs + BACKFILL_STEP_MS, clock.nowMs()));
  }
  log.info(
    { seed, event_count: sentCount, minutes: BACKFILL_MS / 60_000 },
    "backfilled; steady traffic begins",
  );

  const shop = createShop({ seed, tracesPerSecond });
  while (!signal.aborted) {
    const nowMs = clock.nowMs();
    const oldestMs = nowMs - BEHIND_MS_MAX;
    if (reachedMs < oldestMs) {
      const skippedCount = shop.startTimes(reachedMs, oldestMs).length;
      log.warn(
        { skipped_trace_count: skippedCount, behind_ms: nowMs - reachedMs },
        "Kafka was slow: traces were skipped",
      );
      reachedMs = oldestMs;
    }
    await advance(shop, nowMs);
    await clock.sleep(TICK_MS, signal);
  }
  log.info({ event_count: sentCount }, "traffic stopped");
}

function departures({ spans, logs }: ReturnType<Shop["trace"]>): Departure[] {
  return [
    ...spans.map((event) => ({ atMs: Date.parse(event.timestamp) + event.duration_ms, event })),
    ...logs.map((event) => ({ atMs: Date.parse(event.timestamp), event })),
  ];
}
