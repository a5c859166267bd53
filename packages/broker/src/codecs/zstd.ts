// Not by name: Node before 22.15, on which error-stream can run, has no zstd, and would refuse to load this file.
import * as zlib from "node:zlib";
import { isTooLarge } from "./gzip.ts";
import { DECOMPRESSED_BATCH_BYTES_MAX, DECOMPRESSED_TOO_LARGE } from "./record-batch-limits.ts";

export function compressZstd(bytes: Buffer): Buffer {
  return zlib.zstdCompressSync(bytes);
}

export function decompressZstd(bytes: Buffer): Buffer {
  try {
    return zlib.zstdDecompressSync(bytes, { maxOutputLength: DECOMPRESSED_BATCH_BYTES_MAX });
  } catch (error) {
    throw isTooLarge(error) ? new Error(DECOMPRESSED_TOO_LARGE) : error;
  }
}
