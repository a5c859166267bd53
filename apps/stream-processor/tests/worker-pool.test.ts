import { expect, test } from "bun:test";
import type { Clock } from "@timespan/runtime/clock";
import { createLogger, type Logger } from "@timespan/runtime/logger";
import { Counter, createRegistry, snapshotMetrics } from "@timespan/runtime/metrics";
import { ThroughputLog } from "../src/throughput-log.ts";
import type { WorkerCommand, WorkerReport } from "../src/worker-messages.ts";
import { type WorkerHandle, WorkerPool } from "../src/worker-pool.ts";

/** A clock that stands still until it is moved; whoever sleeps wakes when its time has come. */
class HandClock implements Clock {
  #nowMs = 1_000_000;
  #sleepers: { untilMs: number; wake: () => void }[] = [];
  nowMs = () => this.#nowMs;
  sleep = (ms: number) =>
    new Promise<void>((wake) => this.#sleepers.push({ untilMs: this.#nowMs + ms, wake }));
  every = () => () => {};
  async advance(ms: number): Promise<void> {
    this.#nowMs += ms;
    const due = this.#sleepers.filter(({ untilMs }) => untilMs <= this.#nowMs);
    this.#sleepers = this.#sleepers.filter(({ untilMs }) => untilMs > this.#nowMs);
    for (const { wake } of due) wake();
    await Bun.sleep(0);
  }
}

class ScriptedWorker implements WorkerHandle {
  report: (report: WorkerReport) => void = () => {};
  exit: (reason: string) => void = () => {};
  readonly commands: WorkerCommand[] = [];
  terminated = false;
  onReport(listener: (report: WorkerReport) => void): void {
    this.report = listener;
  }
  onExit(listener: (reason: string) => void): void {
    this.exit = listener;
  }
  send(command: WorkerCommand): void {
    this.commands.push(command);
  }
  terminate(): void {
    this.terminated = true;
    this.exit("terminated");
  }
}

function startPool(count: number) {
  const clock = new HandClock();
  const started: ScriptedWorker[] = [];
  const pool = new WorkerPool(
    count,
    () => {
      const worker = new ScriptedWorker();
      started.push(worker);
      return worker;
    },
    { clock, logger: createLogger("test", "silent") },
  );
  pool.start();
  const latest = () => {
    const worker = started.at(-1);
    if (worker === undefined) throw new Error("no worker was started");
    return worker;
  };
  return { clock, started, pool, latest };
}

const fine: WorkerReport = { notReady: [], metrics: [] };

test("the pool is ready when every worker says so, and passes on what one lacks", () => {
  const { started, pool } = startPool(2);
  expect(pool.notReady()).toEqual(["worker 0 is starting", "worker 1 is starting"]);
  started[0]?.report(fine);
  started[1]?.report({ notReady: ["the store does not take batches"], metrics: [] });
  expect(pool.notReady()).toEqual(["worker 1: the store does not take batches"]);
  started[1]?.report(fine);
  expect(pool.notReady()).toEqual([]);
});

test("a worker that dies is replaced after a back-off, and readiness says so until it is back", async () => {
  const { clock, started, pool, latest } = startPool(1);
  latest().report(fine);
  latest().exit("out of memory");
  expect(pool.notReady()).toEqual(["worker 0 is being restarted: out of memory"]);
  expect(started).toHaveLength(1);
  await clock.advance(60_000);
  expect(started).toHaveLength(2);
  latest().report(fine);
  expect(pool.notReady()).toEqual([]);
  expect(pool.restarts).toBe(1);
});

test("a worker that cannot be kept alive takes readiness down until it has lived a while", async () => {
  const { clock, pool, latest } = startPool(1);
  for (let death = 0; death < 3; death++) {
    latest().exit("no database");
    await clock.advance(60_000);
  }
  latest().report(fine);
  expect(pool.notReady()).toEqual(["worker 0 keeps dying: no database"]);
  await clock.advance(61_000);
  latest().report(fine);
  expect(pool.notReady()).toEqual([]);
});

test("a worker that hangs is noticed, and ended", async () => {
  const { clock, started, pool, latest } = startPool(1);
  latest().report(fine);
  await clock.advance(10_000);
  expect(pool.notReady()).toEqual(["worker 0 has said nothing for 10000 ms"]);
  pool.checkSilence();
  expect(started[0]?.terminated).toBe(false);
  await clock.advance(25_000);
  pool.checkSilence();
  expect(started[0]?.terminated).toBe(true);
});

test("what a worker counted stays counted when it is gone; what it measured does not", async () => {
  const { clock, pool, latest } = startPool(1);
  const metricsOf = async (count: number) => {
    const registry = createRegistry();
    new Counter({ name: "rows_total", help: "rows", registers: [registry] }).inc(count);
    return { notReady: [], metrics: await snapshotMetrics(registry) };
  };
  latest().report(await metricsOf(5));
  latest().exit("gone");
  await clock.advance(60_000);
  latest().report(await metricsOf(7));
  const values = (await pool.metrics()).flat().flatMap(({ values: each }) => each.map(({ value }) => value));
  expect(values).toEqual([5, 7]);
});

test("a stop asks every worker to finish, and ends those that take too long", async () => {
  const { clock, started, pool } = startPool(2);
  const stopping = pool.stop(20_000);
  expect(started.map(({ commands }) => commands)).toEqual([[{ command: "stop" }], [{ command: "stop" }]]);
  started[0]?.exit("ended with code 0");
  await clock.advance(20_000);
  await stopping;
  expect(started.map(({ terminated }) => terminated)).toEqual([false, true]);
  await clock.advance(120_000);
  expect(started).toHaveLength(2);
});

test("throughput lines are sampled: after the target count, not more often than the interval", async () => {
  const clock = new HandClock();
  const lines: object[] = [];
  const logger = { info: (fields: object) => lines.push(fields) } as unknown as Logger;
  const log = new ThroughputLog({ targetCount: 100, intervalMsMin: 10_000, sampleEvery: 50 }, clock, logger);
  log.stored(99);
  log.stored(200);
  expect(lines).toEqual([]);
  await clock.advance(10_000);
  log.stored(101);
  expect(lines).toEqual([{ records: 400, elapsed_ms: 10_000, records_per_second: 40 }]);
  log.stored(1_000);
  expect(lines).toHaveLength(1);
});
