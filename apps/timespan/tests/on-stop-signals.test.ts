import { afterEach, expect, test } from "bun:test";
import type { Clock } from "@timespan/runtime/clock";
import { onStopSignals, SAME_SIGNAL_MS } from "../src/on-stop-signals.ts";

afterEach(() => {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.removeAllListeners(signal);
});

test("the echo of one Ctrl-C counts once; a later signal is the second", () => {
  let nowMs = 0;
  const clock: Clock = { nowMs: () => nowMs, sleep: async () => {}, every: () => () => {} };
  const calls: string[] = [];
  onStopSignals({ first: (signal) => calls.push(signal), second: () => calls.push("second") }, clock);
  process.emit("SIGINT", "SIGINT");
  nowMs += 20;
  process.emit("SIGINT", "SIGINT");
  expect(calls).toEqual(["SIGINT"]);
  nowMs += SAME_SIGNAL_MS;
  process.emit("SIGTERM", "SIGTERM");
  expect(calls).toEqual(["SIGINT", "second"]);
});
