import type {
  ConsumedRecord,
  ConsumerEvent,
  RecordConsumer,
  TopicPartition,
} from "@timespan/broker/consumer";

/**
 * A consumer driven by hand: the test says what Kafka holds and when something happens, and reads what was asked of
 * it. Only deliveries are scripted; stores in these tests are real.
 */
export class ScriptedConsumer implements RecordConsumer {
  readonly seeks: { partition: number; offset: number }[] = [];
  readonly commits: { partition: number; nextOffset: number }[] = [];
  readonly paused = new Set<number>();
  /** What `ranges` answers, by partition. */
  readonly held = new Map<number, { low: number; high: number }>();
  #onEvent: (event: ConsumerEvent) => void = () => {};

  constructor(readonly topic: string) {}

  async start(onEvent: (event: ConsumerEvent) => void): Promise<void> {
    this.#onEvent = onEvent;
  }

  assign(...partitions: number[]): void {
    for (const partition of partitions) this.paused.add(partition);
    this.#onEvent({
      kind: "assigned",
      partitions: partitions.map((partition) => ({ topic: this.topic, partition })),
    });
  }

  revoke(): void {
    this.#onEvent({ kind: "revoking" });
  }

  /** Delivers `values` as the records from `offset` on, as one fetch of exactly that. */
  deliver(partition: number, offset: number, values: readonly (object | string | null)[]): void {
    const records = values.map(
      (value, index): ConsumedRecord => ({
        offset: offset + index,
        timestampMs: Date.now(),
        value: value === null ? null : Buffer.from(typeof value === "string" ? value : JSON.stringify(value)),
      }),
    );
    this.deliverFetch(partition, { fetchedOffset: offset, nextOffset: offset + values.length, records });
  }

  /** Delivers a fetch whose offsets have holes, as compacted or transactional topics do. */
  deliverFetch(
    partition: number,
    fetch: { fetchedOffset: number; nextOffset: number; records: ConsumedRecord[] },
  ): void {
    this.#onEvent({ kind: "records", topic: this.topic, partition, ...fetch });
  }

  seek({ partition }: TopicPartition, offset: number): void {
    this.seeks.push({ partition, offset });
  }

  pause(targets: readonly TopicPartition[]): void {
    for (const { partition } of targets) this.paused.add(partition);
  }

  resume(targets: readonly TopicPartition[]): void {
    for (const { partition } of targets) this.paused.delete(partition);
  }

  async commit({ partition }: TopicPartition, nextOffset: number): Promise<void> {
    this.commits.push({ partition, nextOffset });
  }

  async ranges(): Promise<Map<number, { low: number; high: number }>> {
    return this.held;
  }

  async stop(): Promise<void> {}
}
