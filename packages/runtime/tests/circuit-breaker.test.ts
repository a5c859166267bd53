import { expect, test } from "bun:test";
import { createCircuitBreaker } from "../src/circuit-breaker.ts";
import { systemClock } from "../src/clock.ts";

test("after one failure nothing is tried for a while, then one tries for all", async () => {
  const events: string[] = [];
  const breaker = createCircuitBreaker(
    { initialMs: 50, maxMs: 50 },
    { onOpen: (err) => events.push(String(err)), onClose: () => events.push("closed") },
  );
  let tries = 0;
  const work = (outcome: () => number) => () => {
    tries++;
    return Promise.resolve().then(outcome);
  };
  const fail = work(() => {
    throw new Error("slow");
  });
  expect(await breaker.run(work(() => 1))).toBe(1);
  expect(await breaker.run(fail)).toBeUndefined();
  for (let n = 0; n < 10; n++) expect(await breaker.run(work(() => 1))).toBeUndefined();
  expect(tries).toBe(2);

  // The pause over, one fails: the others learn of it, and the next pause begins.
  await systemClock.sleep(120);
  expect(await Promise.all([1, 2, 3].map(() => breaker.run(fail)))).toEqual([
    undefined,
    undefined,
    undefined,
  ]);
  expect(tries).toBe(3);

  await systemClock.sleep(120);
  expect(await Promise.all([1, 2, 3].map(() => breaker.run(work(() => 1))))).toEqual([1, 1, 1]);
  expect(events).toEqual(["Error: slow", "closed"]);
});
