import { type Kafka, Partitioners } from "kafkajs";

export interface OutgoingRecord {
  /** Records of one key keep their order. */
  key: string | null;
  value: string | Uint8Array;
  headers?: Readonly<Record<string, string>>;
}

export interface ProducerOptions {
  /** Kafka drops what the producer's own retries would double. */
  idempotent?: boolean;
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
export async function createProducer(kafka: Kafka, options: ProducerOptions = {}): Promise<RecordProducer> {
  const producer = kafka.producer({
    allowAutoTopicCreation: false,
    idempotent: options.idempotent ?? false,
    createPartitioner: Partitioners.DefaultPartitioner,
  });
  await producer.connect();
  return {
    async send(topic, records) {
      await producer.send({
        topic,
        acks: -1,
        messages: records.map(({ key, value, headers }) => ({
          key,
          value:
            typeof value === "string" ? value : Buffer.from(value.buffer, value.byteOffset, value.byteLength),
          ...(headers && { headers: { ...headers } }),
        })),
      });
    },
    disconnect: () => producer.disconnect(),
  };
}

/** Whether Kafka refused the records for their size, where fewer at once may pass. */
export function isTooLarge(error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if ("type" in cause && (cause.type === "MESSAGE_TOO_LARGE" || cause.type === "RECORD_LIST_TOO_LARGE")) {
      return true;
    }
  }
  return false;
}
