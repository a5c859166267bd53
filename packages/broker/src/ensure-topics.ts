import { createBackoff } from "@timespan/runtime/backoff";
import { systemClock } from "@timespan/runtime/clock";
import { type Admin, type Kafka, KafkaJSError } from "kafkajs";

/** How long a created topic may take until all its partitions have a leader. */
const LEADERS_TIMEOUT_MS = 15_000;

/**
 * Creates those of `topics` that do not exist, with `partitions` partitions and the cluster's own replication factor,
 * and waits until all can be read and written, also those that another process is creating right now.
 * @returns the names of the created ones
 * @throws kafkajs' error where the cluster is away or refuses, or a topic has no leader in time
 */
export async function ensureTopics(
  kafka: Kafka,
  topics: readonly string[],
  partitions: number,
): Promise<string[]> {
  const admin = kafka.admin();
  await admin.connect();
  try {
    const existing = new Set(await admin.listTopics());
    const missing = topics.filter((topic) => !existing.has(topic));
    if (missing.length > 0) {
      // False where another process was faster; that is as good.
      await admin.createTopics({
        waitForLeaders: false,
        topics: missing.map((topic) => ({ topic, numPartitions: partitions, replicationFactor: -1 })),
      });
    }
    await waitForLeaders(admin, topics);
    return missing;
  } finally {
    await admin.disconnect();
  }
}

async function waitForLeaders(admin: Admin, topics: readonly string[]): Promise<void> {
  const deadline = systemClock.nowMs() + LEADERS_TIMEOUT_MS;
  const backoff = createBackoff({ initialMs: 50, maxMs: 500 });
  for (;;) {
    try {
      const metadata = await admin.fetchTopicMetadata({ topics: [...topics] });
      if (metadata.topics.every(({ partitions }) => partitions.every(({ leader }) => leader >= 0))) return;
    } catch (error) {
      // Of a topic that the brokers do not all know yet.
      if (!(error instanceof KafkaJSError && error.retriable) || systemClock.nowMs() > deadline) throw error;
    }
    if (systemClock.nowMs() > deadline)
      throw new Error(`no leader for all partitions of ${topics.join(", ")}`);
    await systemClock.sleep(backoff.nextMs());
  }
}
