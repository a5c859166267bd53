import { readFileSync, statfsSync } from "node:fs";
import { totalmem } from "node:os";
import { join } from "node:path";
import { isLoopback } from "@timespan/runtime/auth-setting";
import type { ServerDescription } from "@timespan/store/doctor/describe-server";

/** The machine that the server runs on. */
export interface Machine {
  memoryBytes: number;
  /** Where the data lies, for those who are not root. */
  freeBytes: number;
}

/** Clocks of files and of the server may round differently. */
const START_DIFFERENCE_SECONDS_MAX = 2;

/**
 * What this machine offers the server, if the server demonstrably runs on it: a loopback address may lead into a
 * container, and a folder of the same name may belong to another server. `postmaster.pid` in its data directory names
 * the port and the start of the one that owns it.
 * @returns undefined where the server runs elsewhere, or this user cannot read its data directory
 */
export function findMachine(databaseUrl: string, server: ServerDescription): Machine | undefined {
  const { dataDirectory, port, startedAtSeconds } = server;
  if (dataDirectory === null || !isLoopback(new URL(databaseUrl).hostname)) return undefined;
  try {
    // Lines: process id, data directory, start in seconds since the epoch, port, socket directory, …
    const lines = readFileSync(join(dataDirectory, "postmaster.pid"), "utf8").split("\n");
    const isIt =
      Number(lines[3]) === port &&
      Math.abs(Number(lines[2]) - startedAtSeconds) <= START_DIFFERENCE_SECONDS_MAX;
    if (!isIt) return undefined;
    const { bavail, bsize } = statfsSync(dataDirectory);
    return { memoryBytes: totalMemory(), freeBytes: bavail * bsize };
  } catch {
    return undefined; // not there, or not ours to read: the same to us
  }
}

/** A container's limit where there is one. */
function totalMemory(): number {
  return Math.min(totalmem(), process.constrainedMemory() || Number.POSITIVE_INFINITY);
}
