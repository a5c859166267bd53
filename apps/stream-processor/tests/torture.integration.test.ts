import { expect, test } from "bun:test";
import { torture } from "./torture.ts";

test("whatever is killed, stopped, restarted or cut off: every record of Kafka is stored once", async () => {
  const seed = Date.now() % 1_000_000;
  const result = await torture({
    seconds: 55,
    seed,
    eventsPerSecond: 1_000,
    log: (line) => console.log(line),
  });
  console.log({ seed, ...result });
  expect(Object.values(result.faults).reduce((sum, count) => sum + count, 0)).toBeGreaterThanOrEqual(5);
  expect(result.kafka.poison).toBeGreaterThan(0);
  expect(result.kafka.errors).toBeGreaterThan(0);
  expect(result).toMatchObject({
    lost: 0,
    doubled: 0,
    invented: 0,
    wrongDeadLetters: 0,
    errorsNotForwarded: 0,
    acknowledgedNotInKafka: 0,
    store: {
      spans: result.kafka.spans,
      logs: result.kafka.logs,
      deadLetters: result.kafka.poison,
    },
  });
}, 400_000);
