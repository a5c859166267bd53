import { type Clock, systemClock } from "@timespan/runtime/clock";

/**
 * One Ctrl-C can arrive several times: the terminal sends it to every process of its group, and npx passes on what
 * it gets. Only a signal after this pause is a person's second one.
 */
export const SAME_SIGNAL_MS = 700;

/** Calls `first` for the first SIGINT, SIGTERM or SIGHUP, and `second` for the next one meant as such. */
export function onStopSignals(
  handlers: { first(signal: NodeJS.Signals): void; second(): void },
  clock: Clock = systemClock,
): void {
  let firstMs: number | undefined;
  const onSignal = (signal: NodeJS.Signals) => {
    if (firstMs === undefined) {
      firstMs = clock.nowMs();
      handlers.first(signal);
    } else if (clock.nowMs() - firstMs > SAME_SIGNAL_MS) {
      handlers.second();
    }
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, onSignal);
}
