import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, renameSync } from "node:fs";
import { join } from "node:path";
import { type PidRecord, parsePidFile, readPidFile, removePidFile, writePidFile } from "./pid-file.ts";
import { StackError } from "./stack-error.ts";

/** Names what belongs to a home but lies elsewhere. */
export function homeHash(home: string): string {
  return createHash("sha256").update(home).digest("hex").slice(0, 12);
}

/** The process that holds `home` now, if any: the supervisor of its stack. */
export function homeHolder(home: string): PidRecord | undefined {
  return readPidFile(holderFile(home));
}

/**
 * Makes this process the only one that runs a stack in `home`.
 * @returns releases the home
 * @throws {StackError} when another process holds it
 */
export function holdHome(home: string): () => void {
  mkdirSync(home, { recursive: true });
  const path = holderFile(home);
  const record: PidRecord = { name: "timespan", pid: process.pid, stopSignal: "SIGTERM" };
  for (;;) {
    try {
      writePidFile(path, record, true);
      return () => {
        if (readPidFile(path)?.pid === process.pid) removePidFile(path);
      };
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
    }
    takeStaleFileAway(path, home);
  }
}

/** A holder that was killed leaves its file. Two starts at once may both see it: only the one that moved it goes on. */
function takeStaleFileAway(path: string, home: string): void {
  const holder = readPidFile(path);
  if (holder !== undefined) throw homeInUse(home, holder);
  const aside = `${path}.${process.pid}`;
  try {
    renameSync(path, aside);
  } catch {
    return;
  }
  const moved = parsePidFile(readFileSync(aside, "utf8"));
  if (moved !== undefined) {
    renameSync(aside, path);
    throw homeInUse(home, moved);
  }
  removePidFile(aside);
}

function homeInUse(home: string, holder: PidRecord): StackError {
  return new StackError(
    `A stack already runs in ${home} (process ${holder.pid}).`,
    "Stop it with `bun run down`, or set TIMESPAN_HOME to another folder and use other ports.",
  );
}

function holderFile(home: string): string {
  return join(home, "timespan.pid");
}
