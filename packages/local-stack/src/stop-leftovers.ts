import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { type Clock, systemClock } from "@timespan/runtime/clock";
import { type PidRecord, readPidFile, removePidFile } from "./pid-file.ts";
import { processIdentity } from "./process-identity.ts";

const POLL_INTERVAL_MS = 50;
/** Clean stop first; a process that takes longer is ended by force. */
const GRACE_MS = 15_000;
const KILL_TIMEOUT_MS = 5_000;

/** Servers are stopped after everything that uses them, in this order. */
const LAST: readonly string[] = ["kafka", "redis", "postgres"];

/** The folder of a home that holds a pid file for each process of its stack. */
export function pidFilesDir(home: string): string {
  return join(home, "run");
}

/**
 * Stops what an earlier stack of this home left running because it was killed itself, and says so.
 * @returns the names of the processes stopped
 */
export async function stopLeftovers(
  home: string,
  report: (line: string) => void,
  clock: Clock = systemClock,
): Promise<string[]> {
  const dir = pidFilesDir(home);
  const files = existsSync(dir) ? readdirSync(dir).filter((file) => file.endsWith(".json")) : [];
  const stopped: string[] = [];
  const byOrder = files.sort((a, b) => stopRank(a) - stopRank(b));
  for (const file of byOrder) {
    const path = join(dir, file);
    const record = readPidFile(path);
    if (record !== undefined) {
      report(
        `Stopping ${record.name} (process ${record.pid}), left running by an earlier stack of this home.`,
      );
      await stopByPid(record, { clock });
      stopped.push(record.name);
    }
    removePidFile(path);
  }
  return stopped;
}

/** Stops a process that is not our child; resolves when it is gone, or when even SIGKILL did not help. */
export async function stopByPid(
  record: PidRecord,
  { graceMs = GRACE_MS, clock = systemClock }: { graceMs?: number; clock?: Clock } = {},
): Promise<void> {
  const identity = processIdentity(record.pid);
  const gone = () => identity === undefined || processIdentity(record.pid) !== identity;
  for (const [signal, timeoutMs] of [
    [record.stopSignal, graceMs],
    ["SIGKILL", KILL_TIMEOUT_MS],
  ] as const) {
    if (gone()) return;
    try {
      process.kill(record.pid, signal);
    } catch {
      return;
    }
    const deadlineMs = clock.nowMs() + timeoutMs;
    while (!gone() && clock.nowMs() < deadlineMs) await clock.sleep(POLL_INTERVAL_MS);
  }
}

function stopRank(file: string): number {
  return LAST.indexOf(file.replace(/\.json$/, ""));
}
