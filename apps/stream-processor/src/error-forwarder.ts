import type { OutgoingRecord, RecordProducer } from "@timespan/broker/producer";
import { createBackoff } from "@timespan/runtime/backoff";
import type { Clock } from "@timespan/runtime/clock";
import type { Logger } from "@timespan/runtime/logger";

/** Hands ERROR logs to the live channel. */
export interface ErrorForwarder {
  /**
   * Resolves when Kafka has the records, however long that takes; they are kept by the batch that waits for them,
   * so what is on its way is bounded as batches are.
   * @throws {Error} when stopped before Kafka took them
   */
  forward(records: readonly OutgoingRecord[]): Promise<void>;
  /** Gives up what is on its way: its batches are then not written, and read again by the next process. */
  stop(): void;
}

/** A broker takes about 1 MB at once; one record of ours is at most a tenth of that. */
const SEND_CHARACTERS_MAX = 400_000;

export function createErrorForwarder(
  producer: RecordProducer,
  topic: string,
  clock: Clock,
  logger: Logger,
): ErrorForwarder {
  const stopped = new AbortController();

  async function send(records: readonly OutgoingRecord[]): Promise<void> {
    const backoff = createBackoff({ initialMs: 200, maxMs: 10_000 });
    while (!stopped.signal.aborted) {
      try {
        await producer.send(topic, records);
        return;
      } catch (err) {
        const delayMs = backoff.nextMs();
        logger.warn({ err, topic, delay_ms: delayMs }, "errors could not be forwarded, trying again");
        await clock.sleep(delayMs, stopped.signal);
      }
    }
    throw new Error("stopped before the errors were forwarded");
  }

  return {
    async forward(records) {
      for (const group of groupBySize(records)) await send(group);
    },
    stop: () => stopped.abort(),
  };
}

function groupBySize(records: readonly OutgoingRecord[]): OutgoingRecord[][] {
  const groups: OutgoingRecord[][] = [];
  let size = Number.POSITIVE_INFINITY;
  for (const record of records) {
    size += record.value.length;
    if (size > SEND_CHARACTERS_MAX) {
      groups.push([]);
      size = record.value.length;
    }
    groups.at(-1)?.push(record);
  }
  return groups;
}
