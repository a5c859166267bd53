import type { Clock } from "@timespan/runtime/clock";
import type { Logger } from "@timespan/runtime/logger";

export interface ThroughputSettings {
  /** Records after which a line is due; 0 for none. */
  targetCount: number;
  intervalMsMin: number;
  /** Records between two looks at the clock. */
  sampleEvery: number;
}

/** Logs now and then how many records were stored and how fast: a sample, cheap at any rate. */
export class ThroughputLog {
  #count = 0;
  #unsampled = 0;
  #sinceMs: number;

  constructor(
    private readonly settings: ThroughputSettings,
    private readonly clock: Clock,
    private readonly logger: Logger,
  ) {
    this.#sinceMs = clock.nowMs();
  }

  /** To be called with the number of records of each batch that was stored. */
  stored(recordCount: number): void {
    const { targetCount, intervalMsMin, sampleEvery } = this.settings;
    if (targetCount === 0) return;
    this.#count += recordCount;
    this.#unsampled += recordCount;
    if (this.#unsampled < sampleEvery || this.#count < targetCount) return;
    this.#unsampled = 0;
    const elapsedMs = this.clock.nowMs() - this.#sinceMs;
    if (elapsedMs < intervalMsMin) return;
    const perSecond = Math.round((this.#count / Math.max(1, elapsedMs)) * 1_000);
    this.logger.info(
      { records: this.#count, elapsed_ms: elapsedMs, records_per_second: perSecond },
      "throughput",
    );
    this.#count = 0;
    this.#sinceMs += elapsedMs;
  }
}
