import { existsSync } from "node:fs";
import { homeHolder } from "@timespan/local-stack/home";
import { stopByPid, stopLeftovers } from "@timespan/local-stack/stop-leftovers";
import type { Config } from "../config.ts";
import { removeEnvFile } from "../env-file.ts";
import type { Progress } from "../progress-line.ts";

/** Apps, Kafka, Redis and Postgres one after the other, each within its own time limit. */
const STOP_TIMEOUT_MS = 90_000;

/**
 * Stops the stack of this home and waits until it has ended; also the processes of one that was killed. Nothing to
 * stop is no error.
 */
export async function down({ home }: Pick<Config, "home">, progress: Progress): Promise<void> {
  const holder = homeHolder(home);
  if (holder !== undefined) {
    progress.update(`Stopping the stack in ${home} (process ${holder.pid})`);
    await stopByPid(holder, { graceMs: STOP_TIMEOUT_MS });
    progress.clear();
  }
  // After a clean end there are none; after a supervisor that was killed, or took too long, there may be.
  const leftovers = existsSync(home) ? await stopLeftovers(home, progress.report) : [];
  if (holder === undefined && leftovers.length === 0) {
    progress.report(`Nothing is running in ${home}.`);
    return;
  }
  removeEnvFile(home);
  progress.report("Stopped.");
}
