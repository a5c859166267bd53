import { expect, test } from "bun:test";
import type { OutgoingRecord, RecordProducer } from "@timespan/broker/producer";
import { systemClock } from "@timespan/runtime/clock";
import { createLogger } from "@timespan/runtime/logger";
import { createErrorForwarder } from "../src/error-forwarder.ts";

/** Takes what it is sent when the test says so. */
class ScriptedProducer implements RecordProducer {
  readonly sends: { records: readonly OutgoingRecord[]; answer: PromiseWithResolvers<void> }[] = [];
  async send(_: string, records: readonly OutgoingRecord[]): Promise<void> {
    const answer = Promise.withResolvers<void>();
    this.sends.push({ records, answer });
    return answer.promise;
  }
  async disconnect(): Promise<void> {}
  keys = () => this.sends.map(({ records }) => records.map(({ key, value }) => `${key}:${value}`));
}

const create = (producer: RecordProducer) =>
  createErrorForwarder(producer, "errors", systemClock, createLogger("test", "silent"));

test("the errors of a source are sent one group after the other, those of another source beside them", async () => {
  const producer = new ScriptedProducer();
  const forwarder = create(producer);
  const first = forwarder.forward(1, ["a", "b"]);
  const second = forwarder.forward(1, ["c"]);
  const other = forwarder.forward(2, ["x"]);
  await Bun.sleep(0);
  expect(producer.keys()).toEqual([["1:a", "1:b"], ["2:x"]]);
  producer.sends[0]?.answer.resolve();
  producer.sends[1]?.answer.resolve();
  await Promise.all([first, other]);
  await Bun.sleep(0);
  expect(producer.keys().at(-1)).toEqual(["1:c"]);
  producer.sends[2]?.answer.resolve();
  await second;
});

test("what follows errors that were given up is not sent either", async () => {
  const producer = new ScriptedProducer();
  const forwarder = create(producer);
  const first = forwarder.forward(1, ["a"]);
  const second = forwarder.forward(1, ["b"]);
  await Bun.sleep(0);
  forwarder.stop();
  producer.sends[0]?.answer.reject(new Error("Kafka is away"));
  const outcomes = await Promise.allSettled([first, second]);
  expect(outcomes.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  expect(producer.sends).toHaveLength(1);
});
