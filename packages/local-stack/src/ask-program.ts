import { spawn } from "node:child_process";
import { type Clock, systemClock } from "@timespan/runtime/clock";
import type { Environment } from "@timespan/runtime/settings";

export interface ProgramOutput {
  ok: boolean;
  stdout: string;
  stderr: string;
}

/** A short question to a program must not hang the start. */
const ASK_TIMEOUT_MS = 10_000;

export interface AskOptions {
  environment: Environment;
  timeoutMs?: number;
  cwd?: string;
  runAs?: { uid: number; gid: number } | undefined;
  /** Text for its standard input. */
  input?: string;
  clock?: Clock;
}

/**
 * Runs a program to its end and gives back what it said. A program that fails or hangs is a value, not an error.
 * The terminal's Ctrl-C does not reach it: half an `initdb` helps nobody.
 */
export async function askProgram(
  command: string,
  args: readonly string[],
  options: AskOptions,
): Promise<ProgramOutput> {
  const {
    environment: env,
    timeoutMs = ASK_TIMEOUT_MS,
    cwd = "/",
    runAs,
    input,
    clock = systemClock,
  } = options;
  const output = { stdout: "", stderr: "" };
  const child = spawn(command, args, { env, cwd, detached: true, stdio: "pipe", ...runAs });
  const settled = new AbortController();
  void clock.sleep(timeoutMs, settled.signal).then(() => settled.signal.aborted || child.kill("SIGKILL"));
  for (const name of ["stdout", "stderr"] as const) {
    child[name].setEncoding("utf8").on("data", (text: string) => {
      output[name] += text;
    });
  }
  // A program that does not read its input is no problem of ours.
  child.stdin.on("error", () => {});
  child.stdin.end(input);
  const ok = await new Promise<boolean>((resolve) => {
    child.once("error", (error) => {
      output.stderr ||= error.message;
      resolve(false);
    });
    child.once("close", (code) => resolve(code === 0));
  });
  settled.abort();
  return { ok, ...output };
}
