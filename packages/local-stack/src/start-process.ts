import { spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { type Clock, systemClock } from "@timespan/runtime/clock";
import type { Environment } from "@timespan/runtime/settings";
import { removePidFile, writePidFile } from "./pid-file.ts";
import { shrinkLog } from "./shrink-log.ts";

/** How long a process may take to vanish after the last, hard signal. */
const KILL_TIMEOUT_MS = 5_000;

export interface ProcessSpec {
  name: string;
  command: string;
  args: readonly string[];
  environment: Environment;
  /** A directory the process may enter, also as {@link runAs}. */
  cwd: string;
  runAs?: { uid: number; gid: number } | undefined;
  /** Standard output and error are appended here. */
  logFile: string;
  /** Remembers the process, so that a later start can stop it should we be killed. */
  pidFile: string;
  /** `signal` asks for a clean end; after `graceMs` comes `lastSignal`, then SIGKILL for the whole group. */
  stop: { signal: "SIGTERM" | "SIGINT"; graceMs: number; lastSignal: "SIGQUIT" | "SIGKILL" };
}

export interface ProcessExit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

export interface RunningProcess {
  readonly name: string;
  readonly pid: number;
  /** Resolves when the process has ended, however it did. */
  readonly exited: Promise<ProcessExit>;
  /** Where this run's output begins in the log file, in bytes. */
  readonly logOffset: number;
  /** Ends the process cleanly, or by force when it takes too long; resolves when it is gone. */
  stop(): Promise<void>;
  /** Ends the process by force and returns at once. */
  kill(): void;
}

/**
 * Starts a process in a session of its own: the terminal's Ctrl-C does not reach it, so that it ends when we say so
 * and in the order we say.
 * @throws when the program cannot be run
 */
export async function startProcess(spec: ProcessSpec, clock: Clock = systemClock): Promise<RunningProcess> {
  mkdirSync(dirname(spec.logFile), { recursive: true });
  mkdirSync(dirname(spec.pidFile), { recursive: true });
  shrinkLog(spec.logFile);
  const log = openSync(spec.logFile, "a", 0o640);
  const logOffset = statSync(spec.logFile).size;
  const child = spawn(spec.command, spec.args, {
    cwd: spec.cwd,
    env: spec.environment,
    detached: true,
    stdio: ["ignore", log, log],
    ...spec.runAs,
  });
  closeSync(log);
  const exited = new Promise<ProcessExit>((resolve) => {
    child.once("exit", (code, signal) => {
      removePidFile(spec.pidFile);
      resolve({ code, signal });
    });
  });
  const { pid } = child;
  if (pid === undefined) {
    throw await new Promise<Error>((resolve) => child.once("error", resolve));
  }
  writePidFile(spec.pidFile, { name: spec.name, pid, stopSignal: spec.stop.signal });

  const running = () => child.exitCode === null && child.signalCode === null;
  const goneWithin = (ms: number) => {
    const settled = new AbortController();
    return Promise.race([exited.then(() => true), clock.sleep(ms, settled.signal).then(() => false)]).finally(
      () => settled.abort(),
    );
  };
  let stopping: Promise<void> | undefined;
  return {
    name: spec.name,
    pid,
    exited,
    logOffset,
    stop() {
      stopping ??= (async () => {
        if (!running()) return;
        child.kill(spec.stop.signal);
        if (await goneWithin(spec.stop.graceMs)) return;
        child.kill(spec.stop.lastSignal);
        if (await goneWithin(KILL_TIMEOUT_MS)) return;
        signalGroup(pid, "SIGKILL");
        await goneWithin(KILL_TIMEOUT_MS);
      })();
      return stopping;
    },
    kill() {
      if (running()) signalGroup(pid, spec.stop.lastSignal);
    },
  };
}

/** Sends a signal to a process we started and to all it started; a group that is gone is no error. */
function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch {
    // ESRCH: ended meanwhile, which is what we want.
  }
}
