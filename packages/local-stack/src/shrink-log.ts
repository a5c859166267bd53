import { copyFileSync, readFileSync, statSync, truncateSync } from "node:fs";

/** A log file that grew beyond this is put aside as `<name>.1`, replacing the one put aside before. */
const LOG_BYTES_MAX = 20 * 1024 * 1024;

/**
 * Puts a log file aside when it is larger than {@link LOG_BYTES_MAX}. Copies and truncates, because the writing
 * process keeps the file open (for appending, so that it goes on at the new end).
 */
export function shrinkLog(path: string): void {
  const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  if (size <= LOG_BYTES_MAX) return;
  copyFileSync(path, `${path}.1`);
  truncateSync(path, 0);
}

/** The last `lines` lines of a log file, from byte `offset` on; empty when there is nothing to read. */
export function logTail(path: string, lines: number, offset = 0): string {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch {
    return "";
  }
  // A file that was put aside meanwhile starts anew.
  const text = bytes.subarray(offset <= bytes.length ? offset : 0).toString("utf8");
  return text.trimEnd().split("\n").slice(-lines).join("\n");
}
