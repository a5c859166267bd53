import lz4 from "lz4js";
import { checkDecompressedBytes, DECOMPRESSED_BATCH_BYTES_MAX } from "./record-batch-limits.ts";

const BLOCK_BYTES = 64 * 1024;
/** Magic number, version 1 with independent blocks, blocks of 64 KiB, and the checksum of these two. */
const FRAME_HEADER = Buffer.from([0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82]);
const FRAME_END = Buffer.alloc(4);
/** In the length of a block: it is stored as it is. */
const STORED = 0x8000_0000;

/** Writes LZ4's frame format. The package's own frames have dependent blocks, which Kafka refuses. */
export function compressLz4(bytes: Buffer): Buffer {
  const parts: Buffer[] = [FRAME_HEADER];
  for (let start = 0; start < bytes.byteLength; start += BLOCK_BYTES) {
    const block = bytes.subarray(start, start + BLOCK_BYTES);
    const target = Buffer.allocUnsafe(lz4.compressBound(block.byteLength));
    const length = lz4.compressBlock(block, target, 0, block.byteLength, new Uint32Array(HASH_TABLE_LENGTH));
    const stored = length === 0 || length >= block.byteLength;
    const header = Buffer.alloc(4);
    header.writeUInt32LE(stored ? block.byteLength + STORED : length);
    parts.push(header, stored ? block : target.subarray(0, length));
  }
  return Buffer.concat([...parts, FRAME_END]);
}

/** As the package's own. */
const HASH_TABLE_LENGTH = 1 << 16;

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
