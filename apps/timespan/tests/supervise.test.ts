import { describe, expect, test } from "bun:test";
import type { Clock } from "@timespan/runtime/clock";
import { type Part, type PartExit, supervise } from "../src/supervise.ts";

/** A part whose ends are scripted, and a clock whose sleeps are recorded and return at once. */
function scripted(options: { startFailures?: number; runMs?: number } = {}) {
  let nowMs = 0;
  const sleeps: number[] = [];
  const clock: Clock = {
    nowMs: () => nowMs,
    async sleep(ms) {
      sleeps.push(ms);
    },
    every: () => () => {},
  };
  let failuresLeft = options.startFailures ?? 0;
  const starts: number[] = [];
  let end: (exit: PartExit) => void = () => {};
  let exited = new Promise<PartExit>(() => {});
  let stops = 0;
  const part: Part = {
    name: "worker",
    async start() {
      starts.push(nowMs);
      if (failuresLeft > 0) {
        failuresLeft -= 1;
        throw new Error("no room\nsecond line");
      }
      exited = new Promise((resolve) => {
        end = resolve;
      });
    },
    exited: () => exited,
    async stop() {
      stops += 1;
      end({ code: 0, signal: null });
    },
  };
  const lines: string[] = [];
  let delayMs = 0;
  let resets = 0;
  const backoff = {
    nextMs: () => {
      delayMs += 100;
      return delayMs;
    },
    reset: () => {
      resets += 1;
      delayMs = 0;
    },
  };
  return {
    part,
    clock,
    backoff,
    sleeps,
    starts,
    lines,
    report: (line: string) => lines.push(line),
    endWith: async (exit: PartExit) => {
      nowMs += options.runMs ?? 0;
      end(exit);
      await Bun.sleep(1);
    },
    stopCount: () => stops,
    resetCount: () => resets,
  };
}

describe("a supervised part", () => {
  test("that ends is started again, later each time, and each end is said in one line", async () => {
    const s = scripted();
    const supervised = supervise(s.part, s);
    await Bun.sleep(1);
    await s.endWith({ code: 3, signal: null });
    await s.endWith({ code: null, signal: "SIGKILL" });
    expect(s.starts).toHaveLength(3);
    expect(s.sleeps).toEqual([100, 200]);
    expect(s.lines).toEqual([
      "worker ended (exit code 3); starting it again in 0.1 s.",
      "worker ended (signal SIGKILL); starting it again in 0.2 s.",
    ]);
    expect(supervised.state).toBe("running");
    expect(supervised.exitCount).toBe(2);
    await supervised.stop();
    expect(supervised.state).toBe("stopped");
    expect(s.stopCount()).toBe(1);
  });

  test("that cannot be started is tried again, with the first line of the reason", async () => {
    const s = scripted({ startFailures: 2 });
    const supervised = supervise(s.part, s);
    await Bun.sleep(5);
    expect(supervised.state).toBe("running");
    expect(s.lines[0]).toBe("worker did not start (no room); starting it again in 0.1 s.");
    await supervised.stop();
  });

  test("that ran for long starts with the shortest delay again", async () => {
    const s = scripted({ runMs: 60_000 });
    const supervised = supervise(s.part, s);
    await Bun.sleep(1);
    await s.endWith({ code: 1, signal: null });
    await s.endWith({ code: 1, signal: null });
    expect(s.sleeps).toEqual([100, 100]);
    expect(s.resetCount()).toBe(2);
    await supervised.stop();
  });

  test("that runs already is not started first, and its end on request is not a reason to restart", async () => {
    const s = scripted();
    const supervised = supervise(s.part, { ...s, running: true });
    expect(supervised.state).toBe("running");
    await supervised.stop();
    expect(s.starts).toHaveLength(0);
    expect(s.lines).toEqual([]);
  });
});
