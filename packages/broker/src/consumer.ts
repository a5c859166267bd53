import type { Batch, Kafka } from "kafkajs";

export interface TopicPartition {
  topic: string;
  partition: number;
}

export interface ConsumedRecord {
  offset: number;
  /** The record's own time, milliseconds since the Unix epoch. */
  timestampMs: number;
  value: Buffer | null;
}

/** Records of one partition, complete between two offsets: what is missing in between does not exist. */
export interface RecordsEvent extends TopicPartition {
  kind: "records";
  /** The offset that was asked for. */
  fetchedOffset: number;
  /** The offset after the last one covered. */
  nextOffset: number;
  records: readonly ConsumedRecord[];
}

/**
 * What a consumer reports. After `assigned` every partition stands still until it is sought and resumed, so that
 * nothing is read from a position that nobody chose.
 */
export type ConsumerEvent =
  | RecordsEvent
  | { kind: "assigned"; partitions: readonly TopicPartition[] }
  | { kind: "revoking" }
  | { kind: "crashed"; error: Error; restarting: boolean };

/** A member of a consumer group, reduced to what the ingest loop needs; tests script it by hand. */
export interface RecordConsumer {
  /** Joins the group; events come from now on, one after the other, and must be handled synchronously. */
  start(onEvent: (event: ConsumerEvent) => void): Promise<void>;
  seek(target: TopicPartition, offset: number): void;
  pause(targets: readonly TopicPartition[]): void;
  resume(targets: readonly TopicPartition[]): void;
  /** Tells Kafka how far the group is: only for its lag tools, the store's offsets decide. */
  commit(target: TopicPartition, nextOffset: number): Promise<void>;
  /** Which offsets each partition of `topic` holds: `[low, high)`. */
  ranges(topic: string): Promise<Map<number, { low: number; high: number }>>;
  /** Leaves the group and disconnects. */
  stop(): Promise<void>;
}

export interface ConsumerOptions {
  groupId: string;
  topics: readonly string[];
  /** How many partitions kafkajs hands over at once. */
  concurrentPartitions: number;
  /** The group is this process's own: it is deleted when the consumer stops. */
  ownGroup?: boolean;
  /** A member that says nothing for longer loses its partitions. */
  sessionTimeoutMs?: number;
}

const SESSION_TIMEOUT_MS = 30_000;
/** How long a broker holds back an empty answer, and kafkajs sleeps while every partition is paused. */
const FETCH_WAIT_MS = 500;
/** Records of one event, about two milliseconds of decoding where they are spans. */
const RECORDS_PER_EVENT = 250;
const FETCH_BYTES_PER_PARTITION = 1024 * 1024;
const FETCH_BYTES = 8 * 1024 * 1024;

export function createConsumer(kafka: Kafka, options: ConsumerOptions): RecordConsumer {
  const sessionTimeout = options.sessionTimeoutMs ?? SESSION_TIMEOUT_MS;
  const consumer = kafka.consumer({
    groupId: options.groupId,
    sessionTimeout,
    rebalanceTimeout: Math.max(60_000, sessionTimeout),
    heartbeatInterval: Math.min(3_000, sessionTimeout / 3),
    maxWaitTimeInMs: FETCH_WAIT_MS,
    maxBytesPerPartition: FETCH_BYTES_PER_PARTITION,
    maxBytes: FETCH_BYTES,
    allowAutoTopicCreation: false,
    // A member that cannot reach Kafka keeps trying: there is nothing better that it could do.
    retry: { initialRetryTime: 200, maxRetryTime: 5_000, restartOnFailure: async () => true },
  });
  const admin = kafka.admin();
  const topicsOf = (targets: readonly TopicPartition[]) =>
    targets.map(({ topic, partition }) => ({ topic, partitions: [partition] }));

  return {
    async start(onEvent) {
      consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
        const partitions = Object.entries(payload.memberAssignment).flatMap(([topic, numbers]) =>
          numbers.map((partition) => ({ topic, partition })),
        );
        // kafkajs emits synchronously before it fetches: paused here, nothing is read from Kafka's own offsets.
        consumer.pause(topicsOf(partitions));
        onEvent({ kind: "assigned", partitions });
      });
      consumer.on(consumer.events.REBALANCING, () => onEvent({ kind: "revoking" }));
      consumer.on(consumer.events.CRASH, ({ payload }) =>
        onEvent({ kind: "crashed", error: payload.error, restarting: payload.restart }),
      );
      await admin.connect();
      await consumer.connect();
      await consumer.subscribe({ topics: [...options.topics], fromBeginning: true });
      await consumer.run({
        autoCommit: false,
        partitionsConsumedConcurrently: options.concurrentPartitions,
        eachBatch: async ({ batch, isStale, isRunning }) => {
          for (const event of recordsEvents(batch)) {
            // A seek that came after the fetch: these records are not the ones that were asked for.
            if (isStale() || !isRunning()) return;
            onEvent(event);
            await new Promise(setImmediate);
          }
        },
      });
    },
    seek({ topic, partition }, offset) {
      consumer.seek({ topic, partition, offset: String(offset) });
    },
    pause: (targets) => consumer.pause(topicsOf(targets)),
    resume: (targets) => consumer.resume(topicsOf(targets)),
    async commit({ topic, partition }, nextOffset) {
      await consumer.commitOffsets([{ topic, partition, offset: String(nextOffset) }]);
    },
    async ranges(topic) {
      const offsets = await admin.fetchTopicOffsets(topic);
      return new Map(
        offsets.map(({ partition, low, high }) => [partition, { low: Number(low), high: Number(high) }]),
      );
    },
    async stop() {
      await consumer.disconnect();
      // A group left behind would stand in Kafka's lists for a week.
      if (options.ownGroup) await admin.deleteGroups([options.groupId]).catch(() => {});
      await admin.disconnect();
    },
  };
}

/**
 * What a fetch brought, in parts: between them other things can happen, so that what waits for an answer of the store
 * does not wait for thousands of records to be decoded.
 */
function* recordsEvents(batch: Batch): Generator<RecordsEvent> {
  // Present in kafkajs 2.2 and missing in its types; without it a gap could not be told from a compacted log.
  const { fetchedOffset } = batch as Batch & { fetchedOffset: string };
  const endOffset = Number(batch.lastOffset()) + 1;
  let from = Number(fetchedOffset);
  for (let start = 0; start === 0 || start < batch.messages.length; start += RECORDS_PER_EVENT) {
    const part = batch.messages.slice(start, start + RECORDS_PER_EVENT);
    const next = batch.messages[start + RECORDS_PER_EVENT];
    const nextOffset = next === undefined ? endOffset : Number(next.offset);
    yield {
      kind: "records",
      topic: batch.topic,
      partition: batch.partition,
      fetchedOffset: from,
      nextOffset,
      records: part.map(({ offset, timestamp, value }) => ({
        offset: Number(offset),
        timestampMs: Number(timestamp),
        value,
      })),
    };
    from = nextOffset;
  }
}
