import { type Kafka, Partitioners } from "kafkajs";

export interface OutgoingRecord {
  /** Records of one key keep their order. */
  key: string | null;
  value: string | Uint8Array;
}

export interface RecordProducer {
  /**
   * Resolves when every in-sync replica has the records.
   * @throws kafkajs' error after its own retries
   */
  send(topic: string, records: readonly OutgoingRecord[]): Promise<void>;
  disconnect(): Promise<void>;
}

/** A connected producer. @throws kafkajs' error where no broker answers */
export async function createProducer(kafka: Kafka): Promise<RecordProducer> {
  const producer = kafka.producer({
    allowAutoTopicCreation: false,
    createPartitioner: Partitioners.DefaultPartitioner,
  });
  await producer.connect();
  return {
    async send(topic, records) {
      await producer.send({
        topic,
        acks: -1,
        messages: records.map(({ key, value }) => ({
          key,
          value:
            typeof value === "string" ? value : Buffer.from(value.buffer, value.byteOffset, value.byteLength),
        })),
      });
    },
    disconnect: () => producer.disconnect(),
  };
}
