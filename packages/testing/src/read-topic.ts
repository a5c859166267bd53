import type { Kafka } from "@timespan/broker/connect-kafka";
import { createConsumer } from "@timespan/broker/consumer";

export interface TopicRecord {
  partition: number;
  offset: number;
  value: Buffer | null;
}

/** Every record that `topic` holds now, in the order of each partition. For topics that fit into memory. */
export async function readTopic(kafka: Kafka, topic: string): Promise<TopicRecord[]> {
  const consumer = createConsumer(kafka, {
    groupId: `read-${crypto.randomUUID()}`,
    ownGroup: true,
    topics: [topic],
    concurrentPartitions: 1,
  });
  const records: TopicRecord[] = [];
  const missing = new Map<number, number>();
  const done = Promise.withResolvers<void>();
  await consumer.start((event) => {
    if (event.kind === "assigned") {
      consumer.ranges(topic).then((ranges) => {
        for (const [partition, { low, high }] of ranges) {
          if (high <= low) continue;
          missing.set(partition, high);
          consumer.seek({ topic, partition }, low);
          consumer.resume([{ topic, partition }]);
        }
        if (missing.size === 0) done.resolve();
      }, done.reject);
    } else if (event.kind === "records") {
      const end = missing.get(event.partition);
      if (end === undefined) return;
      for (const { offset, value } of event.records) {
        if (offset < end) records.push({ partition: event.partition, offset, value });
      }
      if (event.nextOffset >= end) missing.delete(event.partition);
      if (missing.size === 0) done.resolve();
    }
  });
  await done.promise;
  await consumer.stop();
  return records;
}
