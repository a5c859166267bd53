import type { OutgoingRecord, RecordProducer } from "@timespan/broker/producer";
import { createBackoff } from "@timespan/runtime/backoff";
import type { Clock } from "@timespan/runtime/clock";
import type { Logger } from "@timespan/runtime/logger";

/** Hands ERROR logs to the live channel. */
export interface ErrorForwarder {
  /**
   * Resolves when Kafka has the records, however long that takes; they are kept by the batch that waits for them,
   * so what is on its way is bounded as batches are. What was handed over for a source stands in Kafka in that order,
   * all in one partition: readers then know by a source's last id that they have everything before it.
   * @throws {Error} when stopped before Kafka took them
   */
  forward(sourceId: number, values: readonly string[]): Promise<void>;
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
  /** What each source waits for: its records are sent one group after the other. */
  const underWay = new Map<number, Promise<void>>();

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
    async forward(sourceId, values) {
      const before = underWay.get(sourceId);
      const sent = (async () => {
        await before;
        for (const group of groupBySize(values)) {
          await send(group.map((value) => ({ key: String(sourceId), value })));
        }
      })();
      underWay.set(sourceId, sent);
      await sent;
    },
    stop: () => stopped.abort(),
  };
}

function groupBySize(values: readonly string[]): string[][] {
  const groups: string[][] = [];
  let size = Number.POSITIVE_INFINITY;
  for (const value of values) {
    size += value.length;
    if (size > SEND_CHARACTERS_MAX) {
      groups.push([]);
      size = value.length;
    }
    groups.at(-1)?.push(value);
  }
  return groups;
}
