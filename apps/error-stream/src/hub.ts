import { Counter, Gauge, type Registry } from "@timespan/runtime/metrics";
import type { ErrorEvent } from "@timespan/telemetry/wire/error-event";

/** One connected client, whatever engine carries it. */
export interface Client {
  /** Bytes that were sent and not yet taken by the client's socket. */
  bufferedBytes(): number;
  send(frame: string): void;
  close(code: number, reason: string): void;
}

export interface HubLimits {
  clientsMax: number;
  /** Beyond it events are dropped for the client they wait for, and for no other. */
  clientBufferBytesMax: number;
}

/** Ids remembered to drop what Kafka delivers twice: some minutes of a heavy storm of errors. */
const REMEMBERED_IDS_MAX = 100_000;

/** Close code "going away": the server stops, the client should come back. */
const GOING_AWAY = 1001;

/**
 * Fans errors out to clients. Knows nothing of sockets or Kafka, so it runs on any WebSocket engine.
 * A client that does not keep up loses events and is told how many; it never slows another.
 */
export class Hub {
  readonly #limits: HubLimits;
  readonly #dropped = new Map<Client, number>();
  readonly #seen = new Set<string>();
  readonly #metrics: ReturnType<typeof createHubMetrics>;

  constructor(limits: HubLimits, registry: Registry) {
    this.#limits = limits;
    this.#metrics = createHubMetrics(registry);
  }

  /** Whether one more client may connect. */
  hasRoom(): boolean {
    if (this.#dropped.size < this.#limits.clientsMax) return true;
    this.#metrics.refused.inc();
    return false;
  }

  join(client: Client): void {
    this.#dropped.set(client, 0);
    this.#metrics.clients.set(this.#dropped.size);
  }

  leave(client: Client): void {
    this.#dropped.delete(client);
    this.#metrics.clients.set(this.#dropped.size);
  }

  /** Sends an error to every client, unless it was sent before. */
  publish(event: ErrorEvent): void {
    if (this.#seen.has(event.event_id)) {
      this.#metrics.repeats.inc();
      return;
    }
    this.#remember(event.event_id);
    this.#metrics.events.inc();
    if (this.#dropped.size === 0) return;
    const { type: _, ...data } = event;
    const frame = JSON.stringify({ event: "error-log", data });
    for (const [client, dropped] of this.#dropped) {
      // Once something was dropped the client first hears of it, or it could not tell where the gap is.
      if (dropped > 0 || client.bufferedBytes() + frame.length > this.#limits.clientBufferBytesMax) {
        this.#dropped.set(client, dropped + 1);
        this.#metrics.drops.inc();
      } else {
        client.send(frame);
        this.#metrics.deliveries.inc();
      }
    }
  }

  /** To be called when a client's socket has taken everything. */
  drained(client: Client): void {
    const count = this.#dropped.get(client) ?? 0;
    if (count === 0) return;
    this.#dropped.set(client, 0);
    client.send(JSON.stringify({ event: "dropped", data: { count } }));
  }

  /** Tells every client that the server stops. */
  closeAll(): void {
    for (const client of this.#dropped.keys()) client.close(GOING_AWAY, "server is stopping");
  }

  #remember(id: string): void {
    this.#seen.add(id);
    if (this.#seen.size <= REMEMBERED_IDS_MAX) return;
    const [oldest] = this.#seen;
    if (oldest !== undefined) this.#seen.delete(oldest);
  }
}

function createHubMetrics(registry: Registry) {
  const registers = [registry];
  return {
    clients: new Gauge({ name: "timespan_error_stream_clients", help: "Clients connected.", registers }),
    refused: new Counter({
      name: "timespan_error_stream_refused_clients_total",
      help: "Clients turned away because there were too many.",
      registers,
    }),
    events: new Counter({ name: "timespan_error_stream_events_total", help: "Errors received.", registers }),
    repeats: new Counter({
      name: "timespan_error_stream_repeats_total",
      help: "Errors received again and not sent again.",
      registers,
    }),
    deliveries: new Counter({
      name: "timespan_error_stream_deliveries_total",
      help: "Frames sent to clients.",
      registers,
    }),
    drops: new Counter({
      name: "timespan_error_stream_drops_total",
      help: "Frames not sent because a client did not keep up.",
      registers,
    }),
  };
}
