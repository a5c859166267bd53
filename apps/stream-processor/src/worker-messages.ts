import type { MetricsSnapshot } from "@timespan/runtime/metrics";

/** What a worker tells the pool, every {@link REPORT_INTERVAL_MS}. */
export interface WorkerReport {
  /** Why it does not take and store records right now; empty when it does. */
  notReady: string[];
  metrics: MetricsSnapshot;
}

/** What the pool tells a worker; there is only one thing to say. */
export interface WorkerCommand {
  command: "stop";
}

export const REPORT_INTERVAL_MS = 1_000;
