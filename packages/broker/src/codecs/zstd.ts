import { zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { isTooLarge } from "./gzip.ts";
import { DECOMPRESSED_BATCH_BYTES_MAX, DECOMPRESSED_TOO_LARGE } from "./record-batch-limits.ts";

export function compressZstd(bytes: Buffer): Buffer {
  return zstdCompressSync(bytes);
}

export function decompressZstd(bytes: Buffer): Buffer {
  try {
    return zstdDecompressSync(bytes, { maxOutputLength: DECOMPRESSED_BATCH_BYTES_MAX });
  } catch (error) {
    throw isTooLarge(error) ? new Error(DECOMPRESSED_TOO_LARGE) : error;
  }
}
