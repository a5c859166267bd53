import { compress, uncompress } from "snappyjs";
import { checkDecompressedBytes, DECOMPRESSED_BATCH_BYTES_MAX } from "./record-batch-limits.ts";

/** What Java's clients put before the blocks of a batch: magic bytes, a version and the oldest one compatible. */
const XERIAL_MAGIC = Buffer.from("\x82SNAPPY\0", "latin1");
const XERIAL_HEADER_BYTES = XERIAL_MAGIC.byteLength + 8;

/** One block without framing, as Go's and librdkafka's clients write it; Java's read it too. */
export function compressSnappy(bytes: Buffer): Buffer {
  return compress(bytes);
}

/** Reads one raw block, or blocks in xerial's framing. */
export function decompressSnappy(bytes: Buffer): Buffer {
  if (!bytes.subarray(0, XERIAL_MAGIC.byteLength).equals(XERIAL_MAGIC)) return decompressBlock(bytes);
  const blocks: Buffer[] = [];
  let total = 0;
  for (let position = XERIAL_HEADER_BYTES; position < bytes.byteLength; ) {
    const start = position + 4;
    const end = start + bytes.readUInt32BE(position);
    if (end > bytes.byteLength) throw new Error("a block ends beyond the batch");
    const block = bytes.subarray(start, end);
    total += announcedBytes(block);
    checkDecompressedBytes(total);
    blocks.push(decompressBlock(block));
    position = end;
  }
  return Buffer.concat(blocks);
}

function decompressBlock(block: Buffer): Buffer {
  checkDecompressedBytes(announcedBytes(block));
  return uncompress(block, DECOMPRESSED_BATCH_BYTES_MAX);
}

/** What a block says of its decompressed size, in a varint at its beginning. */
function announcedBytes(block: Buffer): number {
  let bytes = 0;
  for (let index = 0; index < 5; index++) {
    const byte = block[index];
    if (byte === undefined) break;
    bytes += (byte & 0x7f) * 2 ** (7 * index);
    if (byte < 0x80) return bytes;
  }
  throw new Error("a block does not say its size");
}
