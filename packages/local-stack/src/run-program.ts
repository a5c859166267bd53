import { spawn } from "node:child_process";
import { type Clock, systemClock } from "@timespan/runtime/clock";
import type { Environment } from "@timespan/runtime/settings";

const TICK_INTERVAL_MS = 1_000;

export interface RunOptions {
  environment: Environment;
  timeoutMs: number;
  /** Ends the program when it aborts. */
  signal?: AbortSignal | undefined;
  /** Called at once and then every second, with the time since the start and everything said so far. */
  onTick(elapsedMs: number, output: string): void;
}

/** Runs a program that takes its time, such as a download; how it ended is a value, not an error. */
export function runProgram(
  command: string,
  args: readonly string[],
  { environment, timeoutMs, signal, onTick }: RunOptions,
  clock: Clock = systemClock,
): Promise<{ ok: boolean; output: string }> {
  const startedMs = clock.nowMs();
  let output = "";
  const tick = () => onTick(clock.nowMs() - startedMs, output);
  tick();
  return new Promise((resolve) => {
    // A session of its own, as everything we start has: Ctrl-C comes to us, and `signal` is how we pass it on.
    const child = spawn(command, args, {
      env: environment,
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
    });
    const stopTicking = clock.every(TICK_INTERVAL_MS, tick);
    const settled = new AbortController();
    const end = () => child.kill("SIGKILL");
    void clock.sleep(timeoutMs, settled.signal).then(() => settled.signal.aborted || end());
    signal?.addEventListener("abort", end, { once: true });
    const finish = (ok: boolean) => {
      stopTicking();
      settled.abort();
      signal?.removeEventListener("abort", end);
      resolve({ ok, output });
    };
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (chunk: Buffer) => {
        output += chunk.toString("utf8");
      });
    }
    child.once("error", (error) => {
      output += String(error);
      finish(false);
    });
    child.once("close", (code) => finish(code === 0));
  });
}
