import type { Kafka } from "kafkajs";

/**
 * How many partitions `topics` have together.
 * @throws kafkajs' error where the cluster is away or a topic does not exist
 */
export async function countPartitions(kafka: Kafka, topics: readonly string[]): Promise<number> {
  const admin = kafka.admin();
  await admin.connect();
  try {
    const metadata = await admin.fetchTopicMetadata({ topics: [...topics] });
    return metadata.topics.reduce((sum, { partitions }) => sum + partitions.length, 0);
  } finally {
    await admin.disconnect();
  }
}
