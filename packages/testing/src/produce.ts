import { connectKafka, type Kafka } from "@timespan/broker/connect-kafka";
import { createProducer, type OutgoingRecord } from "@timespan/broker/producer";
import { createLogger } from "@timespan/runtime/logger";
import { testEnvironment } from "./test-environment.ts";

/** A client of the tests' Kafka. */
export function testKafka(): Kafka {
  return connectKafka(
    { brokers: testEnvironment().kafkaBrokers, clientId: "timespan-tests" },
    createLogger("tests", "error"),
  );
}

/** Sends `values`, objects as JSON, to `topic`, in order, each to a partition by its position. */
export async function produce(
  topic: string,
  values: readonly (object | string | Uint8Array)[],
): Promise<void> {
  const producer = await createProducer(testKafka());
  const CHUNK = 500;
  try {
    for (let start = 0; start < values.length; start += CHUNK) {
      await producer.send(
        topic,
        values.slice(start, start + CHUNK).map(
          (value, index): OutgoingRecord => ({
            key: String(start + index),
            value: typeof value === "string" || value instanceof Uint8Array ? value : JSON.stringify(value),
          }),
        ),
      );
    }
  } finally {
    await producer.disconnect();
  }
}
