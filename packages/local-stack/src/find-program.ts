import { execFile } from "node:child_process";
import { accessSync, constants, statSync } from "node:fs";
import { delimiter, join } from "node:path";
import type { Environment } from "@timespan/runtime/settings";

/** Where `name` is on PATH; undefined when it is not there or may not be run. */
export function findProgram(name: string, environment: Environment): string | undefined {
  return (environment.PATH ?? "")
    .split(delimiter)
    .filter((directory) => directory !== "")
    .map((directory) => join(directory, name))
    .find(isProgram);
}

export function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

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
}

/** Runs a program to its end and gives back what it said. A program that fails or hangs is a value, not an error. */
export function askProgram(
  command: string,
  args: readonly string[],
  options: AskOptions,
): Promise<ProgramOutput> {
  return new Promise((resolve) => {
    const { environment: env, timeoutMs: timeout = ASK_TIMEOUT_MS, cwd = "/", runAs, input = "" } = options;
    try {
      const child = execFile(
        command,
        args,
        { env, timeout, cwd, maxBuffer: 4 * 1024 * 1024, ...runAs },
        (error, stdout, stderr) =>
          resolve({ ok: error === null, stdout, stderr: stderr || (error?.message ?? "") }),
      );
      child.stdin?.on("error", () => {});
      child.stdin?.end(input);
    } catch (error) {
      resolve({ ok: false, stdout: "", stderr: String(error) });
    }
  });
}
