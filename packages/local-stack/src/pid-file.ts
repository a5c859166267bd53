import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { z } from "zod";
import { processIdentity } from "./process-identity.ts";

const recordSchema = z.object({
  name: z.string(),
  pid: z.number().int().positive(),
  identity: z.string(),
  stop_signal: z.enum(["SIGTERM", "SIGINT"]),
});

/** One of our processes, as its pid file remembers it. */
export interface PidRecord {
  name: string;
  pid: number;
  stopSignal: "SIGTERM" | "SIGINT";
}

/**
 * Remembers a running process in `path`, in one step: nobody ever reads half a file. With `exclusive` it fails with
 * EEXIST when the file is there already. Does nothing when the process has ended meanwhile.
 */
export function writePidFile(path: string, record: PidRecord, exclusive = false): void {
  const identity = processIdentity(record.pid);
  if (identity === undefined) return;
  const { name, pid, stopSignal: stop_signal } = record;
  const draft = `${path}.${process.pid}.draft`;
  writeFileSync(draft, `${JSON.stringify({ name, pid, identity, stop_signal })}\n`);
  if (!exclusive) {
    renameSync(draft, path);
    return;
  }
  try {
    linkSync(draft, path);
  } finally {
    rmSync(draft);
  }
}

/** The process that `path` names, if that very process still runs. */
export function readPidFile(path: string): PidRecord | undefined {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
  return parsePidFile(text);
}

/** As {@link readPidFile}, for text already read. A file that is damaged names no process. */
export function parsePidFile(text: string): PidRecord | undefined {
  const parsed = recordSchema.safeParse(parseJson(text));
  if (!parsed.success) return undefined;
  const { name, pid, identity, stop_signal: stopSignal } = parsed.data;
  return processIdentity(pid) === identity ? { name, pid, stopSignal } : undefined;
}

export function removePidFile(path: string): void {
  rmSync(path, { force: true });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
