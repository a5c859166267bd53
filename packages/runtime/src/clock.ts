/**
 * The only place that reads the wall clock or sets a timer, so that a test can drive both by hand.
 */
export interface Clock {
  /** Milliseconds since the Unix epoch. */
  nowMs(): number;
  /** Resolves after `ms`, or at once when `signal` aborts. Never rejects: the caller looks at its signal. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** Calls `tick` every `ms` until the returned function is called. The timer does not keep a process alive. */
  every(ms: number, tick: () => void): () => void;
}

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  sleep(ms, signal) {
    if (signal?.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      signal?.addEventListener("abort", done, { once: true });
    });
  },
  every(ms, tick) {
    const timer = setInterval(tick, ms);
    timer.unref();
    return () => clearInterval(timer);
  },
};

/** Resolves as `work` does, or rejects with `message` when it took longer than `ms`. */
export async function withTimeout<T>(work: Promise<T>, ms: number, message: string): Promise<T> {
  const settled = new AbortController();
  try {
    return await Promise.race([
      work,
      systemClock.sleep(ms, settled.signal).then(() => {
        throw new Error(message);
      }),
    ]);
  } finally {
    settled.abort();
  }
}
