import { createBackoff } from "@timespan/runtime/backoff";
import type { Clock } from "@timespan/runtime/clock";
import type { Logger } from "@timespan/runtime/logger";
import { type MetricsSnapshot, sumCounts } from "@timespan/runtime/metrics";
import { REPORT_INTERVAL_MS, type WorkerCommand, type WorkerReport } from "./worker-messages.ts";

/** A worker thread, reduced to what the pool needs; tests script it. */
export interface WorkerHandle {
  onReport(listener: (report: WorkerReport) => void): void;
  /** Called once, when the thread is gone, with the reason where there is one. */
  onExit(listener: (reason: string) => void): void;
  send(command: WorkerCommand): void;
  terminate(): void;
}

/**
 * `running`: a thread is there. `waiting`: it died, and the next one starts after a back-off. `stopped`: none is
 * wanted any more.
 */
interface Slot {
  number: number;
  state: "running" | "waiting" | "stopped";
  worker: WorkerHandle | undefined;
  report: WorkerReport | undefined;
  reportedAtMs: number;
  startedAtMs: number;
  deaths: number;
  reason: string;
  gone: PromiseWithResolvers<void>;
}

/** A worker that says nothing for this long hangs: its event loop does not turn. */
const SILENCE_MS_MAX = 30_000;
/** A worker that lived this long was fine: its next death starts the back-off anew. */
const HEALTHY_AFTER_MS = 60_000;
/** Deaths in a row after which a worker counts as one that cannot be kept alive. */
const DEATHS_MAX = 3;

/** Keeps `count` workers running: a dead one is replaced after a back-off, whatever it died of. */
export class WorkerPool {
  readonly #slots: Slot[];
  readonly #start: (number: number) => WorkerHandle;
  readonly #clock: Clock;
  readonly #logger: Logger;
  #restarts = 0;
  /** What workers that are gone had counted, so that sums never fall. */
  #retired: Promise<MetricsSnapshot> = Promise.resolve([]);

  constructor(
    count: number,
    start: (number: number) => WorkerHandle,
    parts: { clock: Clock; logger: Logger },
  ) {
    this.#start = start;
    this.#clock = parts.clock;
    this.#logger = parts.logger;
    this.#slots = Array.from({ length: count }, (_, number) => ({
      number,
      state: "stopped",
      worker: undefined,
      report: undefined,
      reportedAtMs: 0,
      startedAtMs: 0,
      deaths: 0,
      reason: "",
      gone: Promise.withResolvers<void>(),
    }));
  }

  start(): void {
    for (const slot of this.#slots) this.#run(slot);
  }

  get restarts(): number {
    return this.#restarts;
  }

  /** Why the pool does not take and store records as it should; empty when it does. */
  notReady(): string[] {
    return this.#slots.flatMap((slot) => {
      const name = `worker ${slot.number}`;
      if (slot.deaths >= DEATHS_MAX) return [`${name} keeps dying: ${slot.reason}`];
      if (slot.state !== "running") return [`${name} is being restarted: ${slot.reason}`];
      if (slot.report === undefined) return [`${name} is starting`];
      const silentMs = this.#clock.nowMs() - slot.reportedAtMs;
      if (silentMs > 5 * REPORT_INTERVAL_MS) return [`${name} has said nothing for ${silentMs} ms`];
      return slot.report.notReady.map((reason) => `${name}: ${reason}`);
    });
  }

  /** The newest metrics of each worker, and what those that are gone had counted. */
  async metrics(): Promise<MetricsSnapshot[]> {
    return [await this.#retired, ...this.#slots.flatMap(({ report }) => (report ? [report.metrics] : []))];
  }

  /** Ends workers that hang; to be called now and then. */
  checkSilence(): void {
    for (const slot of this.#slots) {
      const since = Math.max(slot.reportedAtMs, slot.startedAtMs);
      if (slot.state !== "running" || this.#clock.nowMs() - since < SILENCE_MS_MAX) continue;
      this.#logger.error({ worker: slot.number, silence_ms: SILENCE_MS_MAX }, "worker hangs: ending it");
      slot.worker?.terminate();
    }
  }

  /** Lets every worker finish its batches; one that takes longer than `timeoutMs` is ended. */
  async stop(timeoutMs: number): Promise<void> {
    const running = this.#slots.filter(({ state }) => state === "running");
    for (const slot of this.#slots) slot.state = "stopped";
    for (const { worker } of running) worker?.send({ command: "stop" });
    const gone = Promise.all(running.map((slot) => slot.gone.promise));
    const late = await Promise.race([gone.then(() => false), this.#clock.sleep(timeoutMs).then(() => true)]);
    if (late) for (const { worker } of running) worker?.terminate();
  }

  #run(slot: Slot): void {
    const worker = this.#start(slot.number);
    slot.state = "running";
    slot.worker = worker;
    slot.report = undefined;
    slot.startedAtMs = this.#clock.nowMs();
    slot.gone = Promise.withResolvers();
    worker.onReport((report) => {
      if (slot.worker !== worker) return;
      slot.report = report;
      slot.reportedAtMs = this.#clock.nowMs();
      if (slot.reportedAtMs - slot.startedAtMs > HEALTHY_AFTER_MS) slot.deaths = 0;
    });
    worker.onExit((reason) => {
      if (slot.worker !== worker) return;
      slot.worker = undefined;
      slot.gone.resolve();
      if (slot.report !== undefined) {
        const last = slot.report.metrics;
        this.#retired = this.#retired.then((before) => sumCounts([before, last]));
      }
      slot.report = undefined;
      if (slot.state === "running") void this.#restart(slot, reason);
    });
  }

  async #restart(slot: Slot, reason: string): Promise<void> {
    slot.state = "waiting";
    slot.reason = reason;
    slot.deaths++;
    this.#restarts++;
    const backoff = createBackoff({ initialMs: 500, maxMs: 30_000 });
    let delayMs = backoff.nextMs();
    for (let death = 1; death < slot.deaths; death++) delayMs = backoff.nextMs();
    this.#logger.error(
      { worker: slot.number, reason, deaths: slot.deaths, delay_ms: delayMs },
      "worker died",
    );
    await this.#clock.sleep(delayMs);
    if (slot.state === "waiting") this.#run(slot);
  }
}
