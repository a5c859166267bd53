import { ExponentialBackoff, type IBackoff, type IBackoffFactory } from "cockatiel";

/** Delays that grow with each failure and are jittered, so that many clients do not come back at once. */
export interface Backoff {
  /** The delay before the next try, in milliseconds. */
  nextMs(): number;
  /** To be called after a success: the next failure starts with the shortest delay again. */
  reset(): void;
}

/** Exponential growth with decorrelated jitter, between `initialMs` and `maxMs`. */
export function createBackoff(limits: { initialMs: number; maxMs: number }): Backoff {
  const factory: IBackoffFactory<unknown> = new ExponentialBackoff({
    initialDelay: limits.initialMs,
    maxDelay: limits.maxMs,
  });
  let current: IBackoff<unknown> | undefined;
  return {
    nextMs() {
      current = current === undefined ? factory.next(undefined) : current.next(undefined);
      return current.duration;
    },
    reset() {
      current = undefined;
    },
  };
}
