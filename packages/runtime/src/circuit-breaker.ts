import { ConsecutiveBreaker, circuitBreaker, ExponentialBackoff, handleAll } from "cockatiel";

/** Leaves something that failed alone for a while. */
export interface CircuitBreaker {
  /** What `work` gives, or undefined where it failed, or was not tried because it failed a short while ago. */
  run<T>(work: () => Promise<T>): Promise<T | undefined>;
}

/**
 * After one failure nothing is tried for `initialMs`; then one caller tries while the others wait for what comes of
 * it, and each further failure makes the pause longer, up to `maxMs`.
 * @param events told when the pauses begin, with the failure, and when they are over
 */
export function createCircuitBreaker(
  pause: { initialMs: number; maxMs: number },
  events: { onOpen(failure: unknown): void; onClose(): void },
): CircuitBreaker {
  const policy = circuitBreaker(handleAll, {
    halfOpenAfter: new ExponentialBackoff({ initialDelay: pause.initialMs, maxDelay: pause.maxMs }),
    breaker: new ConsecutiveBreaker(1),
  });
  let isOpen = false;
  policy.onBreak((reason) => {
    if (isOpen) return;
    isOpen = true;
    events.onOpen("error" in reason ? reason.error : reason);
  });
  policy.onReset(() => {
    isOpen = false;
    events.onClose();
  });
  return {
    async run(work) {
      try {
        return await policy.execute(work);
      } catch {
        // Told to `onOpen` where it is news.
        return undefined;
      }
    },
  };
}
