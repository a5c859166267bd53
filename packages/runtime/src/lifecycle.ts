import { systemClock } from "./clock.ts";
import type { Logger } from "./logger.ts";

/** How long a graceful stop may take before the process ends anyway. */
export const STOP_TIMEOUT_MS = 25_000;

/**
 * Start and stop of a process, in code one can read: each acquired part names how it is released, and release
 * runs in reverse order. One failing release does not keep the others from running.
 */
export class Lifecycle {
  readonly #releases: { name: string; release: () => Promise<void> | void }[] = [];
  readonly #logger: Logger;
  #stopping: Promise<void> | undefined;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** Registers how `name` is released. Call it right after the part was acquired. */
  onStop(name: string, release: () => Promise<void> | void): void {
    this.#releases.push({ name, release });
  }

  /** Releases everything, last acquired first. Further calls wait for the first. */
  stop(): Promise<void> {
    this.#stopping ??= this.#releaseAll();
    return this.#stopping;
  }

  async #releaseAll(): Promise<void> {
    for (const { name, release } of this.#releases.reverse()) {
      try {
        await release();
      } catch (err) {
        this.#logger.error({ err, part: name }, "a part did not stop cleanly");
      }
    }
  }

  /**
   * SIGINT and SIGTERM stop the process gracefully; the second signal, or {@link STOP_TIMEOUT_MS}, ends it at once.
   */
  stopOnSignals(): void {
    const onSignal = (signal: NodeJS.Signals) => {
      if (this.#stopping !== undefined) {
        this.#logger.warn({ signal }, "second signal: ending at once");
        process.exit(1);
      }
      this.#logger.info({ signal }, "stopping");
      void Promise.race([
        this.stop().then(() => 0),
        systemClock.sleep(STOP_TIMEOUT_MS).then(() => {
          this.#logger.error({ timeout_ms: STOP_TIMEOUT_MS }, "graceful stop took too long: ending now");
          return 1;
        }),
      ]).then((code) => process.exit(code));
    };
    process.on("SIGINT", onSignal);
    process.on("SIGTERM", onSignal);
  }

  /** Logs an error that nothing handles, releases what it can, and ends with code 1: a supervisor restarts us. */
  failWith(err: unknown): void {
    this.#logger.fatal({ err }, "unrecoverable error: stopping");
    void Promise.race([this.stop(), systemClock.sleep(STOP_TIMEOUT_MS)]).then(() => process.exit(1));
  }
}
