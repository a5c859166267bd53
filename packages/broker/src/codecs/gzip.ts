import { promisify } from "node:util";
import { gzip, unzip } from "node:zlib";
import { DECOMPRESSED_BATCH_BYTES_MAX, DECOMPRESSED_TOO_LARGE } from "./record-batch-limits.ts";

const unzipOffThread = promisify<Buffer, { maxOutputLength: number }, Buffer>(unzip);

export const compressGzip: (bytes: Buffer) => Promise<Buffer> = promisify<Buffer, Buffer>(gzip);

export async function decompressGzip(bytes: Buffer): Promise<Buffer> {
  try {
    return await unzipOffThread(bytes, { maxOutputLength: DECOMPRESSED_BATCH_BYTES_MAX });
  } catch (error) {
    throw isTooLarge(error) ? new Error(DECOMPRESSED_TOO_LARGE) : error;
  }
}

/** What zlib says where its output would be longer than it may. */
export function isTooLarge(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ERR_BUFFER_TOO_LARGE";
}
