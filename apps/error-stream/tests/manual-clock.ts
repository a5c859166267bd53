import type { Clock } from "@timespan/runtime/clock";

/** A clock that stands still until the test moves it. */
export class ManualClock implements Clock {
  #nowMs = Date.UTC(2026, 10, 21, 15);
  readonly #ticks: { everyMs: number; nextMs: number; tick: () => void }[] = [];

  nowMs(): number {
    return this.#nowMs;
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const entry = { everyMs: Number.POSITIVE_INFINITY, nextMs: this.#nowMs + ms, tick: resolve };
      this.#ticks.push(entry);
    });
  }

  every(everyMs: number, tick: () => void): () => void {
    const entry = { everyMs, nextMs: this.#nowMs + everyMs, tick };
    this.#ticks.push(entry);
    return () => void this.#ticks.splice(this.#ticks.indexOf(entry), 1);
  }

  pass(ms: number): void {
    this.#nowMs += ms;
    for (const entry of [...this.#ticks]) {
      if (entry.nextMs > this.#nowMs) continue;
      entry.nextMs += entry.everyMs;
      entry.tick();
    }
  }
}
