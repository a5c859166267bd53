import type { ErrorEvent } from "@timespan/telemetry/wire/error-event";
import type { ReceivedEvent } from "../src/hub.ts";

/** An error of the contract; its message is its id unless said otherwise. */
export function errorEvent(id: string, fields: Partial<ErrorEvent> = {}): ErrorEvent {
  return {
    type: "log",
    event_id: id,
    timestamp: "2026-11-21T14:59:00.000000Z",
    service_name: "checkout",
    environment: "production",
    level: "ERROR",
    message: id,
    labels: { region: "eu" },
    ...fields,
  };
}

/** `event` as it comes out of Kafka. */
export function receivedEvent(event: ErrorEvent, recordMs: number): ReceivedEvent {
  const { type: _, ...data } = event;
  return { event, data: JSON.stringify(data), recordMs };
}
