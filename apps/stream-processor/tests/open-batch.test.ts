import { expect, test } from "bun:test";
import { NO_GUARDS } from "@timespan/telemetry/guards";
import { OpenBatch } from "../src/open-batch.ts";

const rejection = { reason: "refused_by_database", detail: "x" } as const;

function openBatch(): OpenBatch {
  return new OpenBatch({
    topic: "topic",
    partition: 0,
    sourceId: 1,
    startOffset: 10,
    lateBeforeUs: 0,
    openedAtMs: 0,
    guards: NO_GUARDS,
    itemAt: (value, index) => value.subarray(index),
  });
}

test("a refused row's dead letter has the value of its own record, whatever became of Kafka's buffer", () => {
  const batch = openBatch();
  const answer = Buffer.alloc(100_000);
  for (let offset = 10; offset < 2_010; offset += 2) {
    const length = answer.write(`value of ${offset}`);
    batch.cover({ offset, timestampMs: 0, value: answer.subarray(0, length) });
  }
  batch.cover({ offset: 3_000, timestampMs: 0, value: null });
  answer.fill(0);

  const payloadAt = (offset: number, index = 0) => {
    const { payload } = batch.deadLetter(rejection, { offset, index });
    return payload === null ? null : Buffer.from(payload).toString();
  };
  expect([10, 12, 1_000, 2_008].map((offset) => payloadAt(offset))).toEqual([
    "value of 10",
    "value of 12",
    "value of 1000",
    "value of 2008",
  ]);
  expect(payloadAt(12, 6)).toBe("of 12");
  expect(payloadAt(3_000)).toBeNull();
  expect(batch.endOffset).toBe(3_001);
});

test("a flood of empty records has a size too", () => {
  const batch = openBatch();
  for (let offset = 10; offset < 1_010; offset++) batch.cover({ offset, timestampMs: 0, value: null });
  expect(batch.recordBytes).toBe(64_000);
  expect(batch.heldBytes).toBe(64_000);
});
