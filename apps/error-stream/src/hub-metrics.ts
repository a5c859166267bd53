import type { Clock } from "@timespan/runtime/clock";
import { Counter, Gauge, type Registry } from "@timespan/runtime/metrics";
import type { EventRing } from "./event-ring.ts";
import type { Subscriber, Tally } from "./subscriber.ts";

export type HubMetrics = ReturnType<typeof createHubMetrics>;

export function createHubMetrics(
  registry: Registry,
  clock: Clock,
  ring: EventRing,
  members: ReadonlyMap<Subscriber, unknown>,
  tally: Tally,
) {
  const registers = [registry];
  gauge("timespan_error_stream_clients", "Clients connected.", () => members.size);
  gauge("timespan_error_stream_waiting_bytes", "Bytes that wait for clients that do not keep up.", () => {
    let sum = 0;
    for (const { queuedBytes } of members.keys()) sum += queuedBytes;
    return sum;
  });
  gauge(
    "timespan_error_stream_ring_events",
    "Errors kept in memory for replay.",
    () => ring.next - ring.first,
  );
  gauge("timespan_error_stream_ring_bytes", "Memory of the errors kept for replay.", () => ring.bytes);
  gauge("timespan_error_stream_ring_age_seconds", "How far back replay reaches without the store.", () => {
    const oldest = ring.at(ring.first);
    return oldest === undefined ? 0 : Math.max(0, clock.nowMs() - oldest.seenMs) / 1_000;
  });
  // Counted in plain numbers, as it is done for each frame; read when somebody asks.
  total("timespan_error_stream_deliveries_total", "Frames handed to clients.", () => tally.sentFrames);
  total(
    "timespan_error_stream_drops_total",
    "Errors not sent because a client did not keep up; it was told.",
    () => tally.droppedEvents,
  );
  return {
    events: new Counter({ name: "timespan_error_stream_events_total", help: "Errors received.", registers }),
    repeats: new Counter({
      name: "timespan_error_stream_repeats_total",
      help: "Errors received again and not sent again.",
      registers,
    }),
    replays: new Counter({
      name: "timespan_error_stream_replays_total",
      help: "Replays that clients asked for.",
      registers,
    }),
    slowClients: new Counter({
      name: "timespan_error_stream_slow_clients_closed_total",
      help: "Clients closed because they took nothing for too long.",
      registers,
    }),
  };

  function gauge(name: string, help: string, read: () => number): void {
    const metric: Gauge = new Gauge({ name, help, registers, collect: () => metric.set(read()) });
  }

  function total(name: string, help: string, read: () => number): void {
    const metric: Counter = new Counter({
      name,
      help,
      registers,
      collect() {
        metric.reset();
        metric.inc(read());
      },
    });
  }
}
