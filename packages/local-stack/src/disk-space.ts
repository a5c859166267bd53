import { statfs } from "node:fs/promises";
import { StackError } from "./stack-error.ts";

/** A fresh stack takes about 150 MB, and a day of demo traffic some hundreds more. */
const FREE_BYTES_MIN = 512 * 1024 * 1024;

/** @throws {StackError} when the disk that holds `directory` has too little room to start */
export async function requireDiskSpace(directory: string): Promise<void> {
  const { bavail, bsize } = await statfs(directory);
  const freeBytes = bavail * bsize;
  if (freeBytes >= FREE_BYTES_MIN) return;
  throw diskFull(directory, `only ${Math.floor(freeBytes / 1_048_576)} MB are free`);
}

export function diskFull(directory: string, detail: string): StackError {
  return new StackError(
    `The disk that holds ${directory} is full: ${detail}, and at least ${FREE_BYTES_MIN / 1_048_576} MB are needed.`,
    "Free some space, or set TIMESPAN_HOME to a folder on a larger disk.",
  );
}
