import type { Kafka } from "kafkajs";

/**
 * Creates those of `topics` that do not exist, with `partitions` partitions and the cluster's own replication factor.
 * @returns the names of the created ones
 * @throws kafkajs' error where the cluster is away or refuses
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
    if (missing.length === 0) return [];
    // False where another process was faster; that is as good.
    await admin.createTopics({
      waitForLeaders: true,
      topics: missing.map((topic) => ({ topic, numPartitions: partitions, replicationFactor: -1 })),
    });
    return missing;
  } finally {
    await admin.disconnect();
  }
}
