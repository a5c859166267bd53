import type { ConsumedRecord, RecordConsumer, TopicPartition } from "@timespan/broker/consumer";
import { createBackoff } from "@timespan/runtime/backoff";
import { systemClock } from "@timespan/runtime/clock";
import type { Logger } from "@timespan/runtime/logger";

/** The live end of a topic. */
export interface Tail {
  /** Whether every partition is being read. */
  live(): boolean;
  stop(): Promise<void>;
}

/**
 * Reads `consumer` from the end that its partitions have now, and goes on from where it was whenever the group is
 * joined anew, so that a broker's restart leaves no gap.
 * @throws kafkajs' error where Kafka is away at the start
 */
export async function tailTopic(
  consumer: RecordConsumer,
  logger: Logger,
  onRecord: (record: ConsumedRecord) => void,
  onFatal: (error: Error) => void,
): Promise<Tail> {
  /** The next offset of each partition that was found. */
  const positions = new Map<string, number>();
  const stopped = new AbortController();
  let assigned: readonly TopicPartition[] | undefined;
  let waiting = 0;

  async function resume(partitions: readonly TopicPartition[]): Promise<void> {
    const backoff = createBackoff({ initialMs: 100, maxMs: 5_000 });
    while (assigned === partitions && !stopped.signal.aborted) {
      try {
        for (const target of partitions) {
          const known = positions.get(key(target));
          const range = (await consumer.ranges(target.topic)).get(target.partition);
          if (range === undefined) throw new Error(`Kafka does not know ${key(target)}`);
          // A position beyond the end is one of a topic that was made anew since.
          const position =
            known === undefined || known > range.high ? range.high : Math.max(known, range.low);
          if (assigned !== partitions) return;
          positions.set(key(target), position);
          consumer.seek(target, position);
          consumer.resume([target]);
        }
        waiting = 0;
        logger.info({ partitions: partitions.length }, "following the live end");
        return;
      } catch (err) {
        logger.warn({ err }, "live end not found, trying again");
        await systemClock.sleep(backoff.nextMs(), stopped.signal);
      }
    }
  }

  await consumer.start((event) => {
    switch (event.kind) {
      case "assigned":
        assigned = event.partitions;
        waiting = event.partitions.length;
        void resume(event.partitions);
        break;
      case "records": {
        const position = positions.get(key(event));
        if (position === undefined) return;
        for (const record of event.records) if (record.offset >= position) onRecord(record);
        positions.set(key(event), Math.max(position, event.nextOffset));
        break;
      }
      case "revoking":
        break;
      case "crashed":
        logger.error({ err: event.error, restarting: event.restarting }, "the Kafka consumer crashed");
        if (!event.restarting) onFatal(event.error);
        break;
    }
  });

  return {
    live: () => assigned !== undefined && waiting === 0,
    async stop() {
      stopped.abort();
      await consumer.stop();
    },
  };
}

function key({ topic, partition }: TopicPartition): string {
  return `${topic}/${partition}`;
}
