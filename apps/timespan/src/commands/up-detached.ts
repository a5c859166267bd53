import { spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync } from "node:fs";
import { join } from "node:path";
import { logTail, shrinkLog } from "@timespan/local-stack/shrink-log";
import { StackError } from "@timespan/local-stack/stack-error";
import { z } from "zod";
import type { Config } from "../config.ts";
import type { Progress } from "../progress-line.ts";

/** Tells the command that it runs in the background and has a parent to report to. */
export const BACKGROUND_OPTION = "--background";

const TAIL_LINES = 15;

const messageSchema = z.union([
  z.object({ update: z.string() }),
  z.object({ report: z.string() }),
  z.object({ ready: z.literal(true) }),
  z.object({ failed: z.object({ what: z.string(), remedy: z.string() }) }),
]);

/** What the background process tells the one that started it. */
export type BackgroundMessage = z.infer<typeof messageSchema>;

/**
 * Runs `up` in a process of its own, shows how it gets on, and returns when everything is ready; that process stays.
 * @throws {StackError} when it does not get there
 */
export async function upDetached(config: Config, progress: Progress): Promise<void> {
  const logFile = join(config.home, "logs", "up.log");
  mkdirSync(join(config.home, "logs"), { recursive: true });
  shrinkLog(logFile);
  const log = openSync(logFile, "a");
  const child = spawn(process.execPath, [join(import.meta.dir, "..", "main.ts"), "up", BACKGROUND_OPTION], {
    detached: true,
    env: config.environment,
    stdio: ["ignore", log, log, "ipc"],
  });
  closeSync(log);
  const onSignal = () => child.kill("SIGTERM");
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  for (const signal of signals) process.on(signal, onSignal);
  try {
    await new Promise<void>((resolve, reject) => {
      child.on("message", (raw) => {
        const message = messageSchema.parse(raw);
        if ("update" in message) progress.update(message.update);
        else if ("report" in message) progress.report(message.report);
        else if ("failed" in message) reject(new StackError(message.failed.what, message.failed.remedy));
        else resolve();
      });
      child.once("error", reject);
      child.once("exit", (code, signal) => {
        const how = signal === null ? `exit code ${code}` : `signal ${signal}`;
        const tail = logTail(logFile, TAIL_LINES);
        reject(new StackError(`It ended before it was ready (${how}):\n${tail}`, `See ${logFile}.`));
      });
    });
  } finally {
    progress.clear();
    for (const signal of signals) process.off(signal, onSignal);
    if (child.connected) child.disconnect();
    child.unref();
  }
}

/** Progress of a background `up`: into its log, and to its parent while that listens. */
export function backgroundProgress(local: Progress): Progress {
  return {
    update(line) {
      tellParent({ update: line });
    },
    report(line) {
      local.report(line);
      tellParent({ report: line });
    },
    clear() {},
  };
}

/** Sends a message to the process that started this one in the background; nothing when it is gone. */
export function tellParent(message: BackgroundMessage): void {
  if (process.connected) process.send?.(message);
}
