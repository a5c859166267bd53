import { heapSize } from "bun:jsc";

/** Up to this much heap, of a thread, nothing is done. */
export const HEAP_BYTES_MIN = 64_000_000;
/** How much more than what was alive there may be before it is collected. */
export const HEAP_GROWTH_MAX = 1.5;

/**
 * A function to be called several times a second, which collects all garbage of this thread once the heap, buffers
 * included, is half again as large as what was alive the last time.
 *
 * Left to itself the engine lets a heap of this size double, for it measures it by the memory of the machine, and not
 * by what a container or the other threads leave. A collection takes some 50 ms and replaces one that would have come.
 */
export function createHeapLimit(
  heapBytes: () => number = heapSize,
  collect: () => void = () => Bun.gc(true),
): () => void {
  let limit = HEAP_BYTES_MIN;
  return () => {
    if (heapBytes() <= limit) return;
    collect();
    // What is alive may be large for a reason: then it is not collected again and again.
    limit = Math.max(HEAP_BYTES_MIN, heapBytes() * HEAP_GROWTH_MAX);
  };
}
