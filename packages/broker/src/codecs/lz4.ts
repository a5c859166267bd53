import lz4 from "lz4js";
import { checkDecompressedBytes, DECOMPRESSED_BATCH_BYTES_MAX } from "./record-batch-limits.ts";

export function compressLz4(bytes: Buffer): Buffer {
  return asBuffer(lz4.compress(bytes));
}

/** Reads LZ4's frame format, as Kafka's batches have it. */
export function decompressLz4(bytes: Buffer): Buffer {
  const bound = decompressBound(bytes);
  // The bound is the sum of what the blocks may hold, mostly more than they do.
  const target = Buffer.allocUnsafe(Math.min(bound, DECOMPRESSED_BATCH_BYTES_MAX));
  const length = lz4.decompressFrame(bytes, target);
  checkDecompressedBytes(length);
  if (length > target.byteLength) throw new Error("a block holds more than it may");
  return target.subarray(0, length);
}

/** The package's types say that it returns nothing. */
const decompressBound = lz4.decompressBound as (bytes: Uint8Array) => number;

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
