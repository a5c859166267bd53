import type { ConsumedRecord, RecordConsumer, TopicPartition } from "@timespan/broker/consumer";
import { createBackoff } from "@timespan/runtime/backoff";
import { systemClock } from "@timespan/runtime/clock";
import type { Logger } from "@timespan/runtime/logger";

/** The live end of a topic. */
export interface Tail {
  /** Whether every partition is being read, and what came before the live end was handed over. */
  live(): boolean;
  /** Records that Kafka has and that were not read yet, when it was last looked. */
  recordsBehind(): Promise<number>;
  stop(): Promise<void>;
}

export interface TailParts {
  consumer: RecordConsumer;
  logger: Logger;
  /** How many of the newest records are read before the live end begins; a few more where partitions are uneven. */
  backlogRecords: number;
  /** What they may take in memory; beyond it the oldest are left out. */
  backlogBytesMax: number;
  /** Called once, before everything else: the newest records of all partitions, by their time. */
  onBacklog(records: readonly ConsumedRecord[], isWholeTopic: boolean): void;
  /** Called with the records of each fetch from then on. */
  onRecords(records: readonly ConsumedRecord[]): void;
  onFatal(error: Error): void;
}

/** Who waits for the backlog of a topic that does not give it, goes live without. */
const BACKLOG_MS_MAX = 20_000;

/**
 * Follows a topic from the end that its partitions have now, after reading some of what stands before it, and goes on
 * from where it was whenever the group is joined anew, so that a broker's restart leaves no gap.
 * @throws kafkajs' error where Kafka is away at the start
 */
export async function tailTopic(parts: TailParts): Promise<Tail> {
  const { consumer, logger } = parts;
  /** The next offset of each partition that was found. */
  const positions = new Map<string, number>();
  const topics = new Set<string>();
  const stopped = new AbortController();
  let backlog: Backlog | undefined = new Backlog(parts.backlogBytesMax);
  let assigned: readonly TopicPartition[] | undefined;
  let waiting = 0;

  async function resume(partitions: readonly TopicPartition[]): Promise<void> {
    const backoff = createBackoff({ initialMs: 100, maxMs: 5_000 });
    while (assigned === partitions && !stopped.signal.aborted) {
      try {
        for (const target of partitions) {
          topics.add(target.topic);
          const known = positions.get(key(target));
          const range = (await consumer.ranges(target.topic)).get(target.partition);
          if (range === undefined) throw new Error(`Kafka does not know ${key(target)}`);
          if (assigned !== partitions) return;
          const position = begin(target, range, known, partitions.length);
          positions.set(key(target), position);
          consumer.seek(target, position);
          consumer.resume([target]);
        }
        waiting = 0;
        logger.info({ partitions: partitions.length }, "following the live end");
        finishBacklog();
        return;
      } catch (err) {
        logger.warn({ err }, "live end not found, trying again");
        await systemClock.sleep(backoff.nextMs(), stopped.signal);
      }
    }
  }

  function begin(
    target: TopicPartition,
    range: { low: number; high: number },
    known: number | undefined,
    partitionCount: number,
  ): number {
    // A position beyond the end is one of a topic that was made anew since.
    if (known !== undefined && known <= range.high) return Math.max(known, range.low);
    if (backlog === undefined) return range.high;
    // Twice a fair share: keys do not spread evenly.
    const count = Math.min(parts.backlogRecords, Math.ceil((2 * parts.backlogRecords) / partitionCount));
    const position = Math.max(range.low, range.high - count);
    backlog.expect(key(target), range.high, position === 0);
    return position;
  }

  function finishBacklog(force = false): void {
    if (backlog === undefined || waiting > 0) return;
    if (!force && !backlog.isComplete(positions)) return;
    const { records, isWholeTopic } = backlog.take();
    backlog = undefined;
    parts.onBacklog(records, isWholeTopic);
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
        const fresh = event.records.filter(({ offset }) => offset >= position);
        positions.set(key(event), Math.max(position, event.nextOffset));
        if (backlog === undefined) parts.onRecords(fresh);
        else {
          backlog.add(key(event), fresh);
          finishBacklog();
        }
        break;
      }
      case "revoking":
        break;
      case "crashed":
        logger.error({ err: event.error, restarting: event.restarting }, "the Kafka consumer crashed");
        if (!event.restarting) parts.onFatal(event.error);
        break;
    }
  });
  void systemClock.sleep(BACKLOG_MS_MAX, stopped.signal).then(() => {
    if (!stopped.signal.aborted) finishBacklog(true);
  });

  return {
    live: () => assigned !== undefined && waiting === 0 && backlog === undefined,
    async recordsBehind() {
      let behind = 0;
      for (const topic of topics) {
        for (const [partition, { high }] of await consumer.ranges(topic)) {
          behind += Math.max(0, high - (positions.get(key({ topic, partition })) ?? high));
        }
      }
      return behind;
    },
    async stop() {
      stopped.abort();
      await consumer.stop();
    },
  };
}

/** What stands in a topic before the live end. */
class Backlog {
  /** Up to where each partition is to be read. */
  readonly #ends = new Map<string, number>();
  readonly #records = new Map<string, ConsumedRecord[]>();
  readonly #bytesMax: number;
  #bytes = 0;
  #isWholeTopic = true;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  expect(partition: string, end: number, fromItsBeginning: boolean): void {
    this.#ends.set(partition, end);
    this.#isWholeTopic &&= fromItsBeginning;
  }

  add(partition: string, records: readonly ConsumedRecord[]): void {
    const known = this.#records.get(partition) ?? [];
    this.#records.set(partition, known);
    known.push(...records);
    this.#bytes += bytesOf(records);
    while (this.#bytes > this.#bytesMax && known.length > 1) {
      this.#bytes -= bytesOf(known.splice(0, Math.ceil(known.length / 2)));
      this.#isWholeTopic = false;
    }
  }

  isComplete(positions: ReadonlyMap<string, number>): boolean {
    return [...this.#ends].every(([partition, end]) => (positions.get(partition) ?? 0) >= end);
  }

  /** All partitions by time, each in its own order: a record counts as sent with the latest before it. */
  take(): { records: ConsumedRecord[]; isWholeTopic: boolean } {
    const keyed = [...this.#records.values()].flatMap((records) => {
      let latestMs = 0;
      return records.map((record) => {
        latestMs = Math.max(latestMs, record.timestampMs);
        return { latestMs, record };
      });
    });
    return {
      records: keyed.sort((a, b) => a.latestMs - b.latestMs).map(({ record }) => record),
      isWholeTopic: this.#isWholeTopic,
    };
  }
}

function bytesOf(records: readonly ConsumedRecord[]): number {
  return records.reduce((sum, { value }) => sum + (value?.byteLength ?? 0), 0);
}

function key({ topic, partition }: TopicPartition): string {
  return `${topic}/${partition}`;
}
