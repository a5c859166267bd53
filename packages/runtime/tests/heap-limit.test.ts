import { heapSize } from "bun:jsc";
import { expect, test } from "bun:test";
import { createHeapLimit, HEAP_BYTES_MIN } from "../src/heap-limit.ts";

test("garbage is collected when the heap is half again as large as what was alive", () => {
  let heapBytes = HEAP_BYTES_MIN;
  let aliveBytes = HEAP_BYTES_MIN;
  let collections = 0;
  const check = createHeapLimit(
    () => heapBytes,
    () => {
      collections++;
      heapBytes = aliveBytes;
    },
  );
  check();
  expect(collections).toBe(0);
  heapBytes = HEAP_BYTES_MIN + 1;
  check();
  expect(collections).toBe(1);

  // Much is alive for a reason: it is not collected at every call.
  aliveBytes = 2 * HEAP_BYTES_MIN;
  heapBytes = 2 * HEAP_BYTES_MIN;
  check();
  check();
  expect(collections).toBe(2);
  heapBytes = 3 * HEAP_BYTES_MIN + 1;
  check();
  expect(collections).toBe(3);

  // And once it is not, the limit is the old one.
  aliveBytes = HEAP_BYTES_MIN / 2;
  heapBytes = 4 * HEAP_BYTES_MIN;
  check();
  heapBytes = HEAP_BYTES_MIN + 1;
  check();
  expect(collections).toBe(5);
});

test("dropped buffers count as garbage, and go", () => {
  let buffers: Uint8Array[] | undefined = Array.from({ length: 100 }, () => new Uint8Array(2_000_000));
  expect(buffers.length).toBe(100);
  expect(heapSize()).toBeGreaterThan(HEAP_BYTES_MIN);
  buffers = undefined;
  createHeapLimit()();
  expect(heapSize()).toBeLessThan(HEAP_BYTES_MIN);
});
