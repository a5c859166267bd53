import kafkajs, { CompressionTypes } from "kafkajs";
import { compressGzip, decompressGzip } from "./gzip.ts";
import { compressLz4, decompressLz4 } from "./lz4.ts";
import { COMPRESSED_BATCH_RECORDS_MAX } from "./record-batch-limits.ts";
import { compressSnappy, decompressSnappy } from "./snappy.ts";
import { encodeUnreadableBatch } from "./unreadable-batch.ts";
import { compressZstd, decompressZstd } from "./zstd.ts";

interface CompressionCodec {
  name: string;
  compress(bytes: Buffer): Buffer | Promise<Buffer>;
  /** @throws where the bytes are damaged, or too large when decompressed */
  decompress(bytes: Buffer): Buffer | Promise<Buffer>;
}

/** What kafkajs knows of a batch; our patch hands it to the codec. */
interface BatchContext {
  firstOffset: string;
  lastOffsetDelta: number;
  recordCount: number;
}

/** Makes kafkajs read and write every compression that Kafka has, within limits. */
export function registerCodecs(): void {
  const { CompressionCodecs } = kafkajs;
  for (const [type, codec] of CODECS) CompressionCodecs[type] = () => forKafkajs(codec);
}

const CODECS: readonly [type: keyof typeof kafkajs.CompressionCodecs, codec: CompressionCodec][] = [
  [CompressionTypes.GZIP, { name: "gzip", compress: compressGzip, decompress: decompressGzip }],
  [CompressionTypes.Snappy, { name: "snappy", compress: compressSnappy, decompress: decompressSnappy }],
  [CompressionTypes.LZ4, { name: "lz4", compress: compressLz4, decompress: decompressLz4 }],
  [CompressionTypes.ZSTD, { name: "zstd", compress: compressZstd, decompress: decompressZstd }],
];

function forKafkajs(codec: CompressionCodec) {
  return {
    compress: async (encoder: { buffer: Buffer }) => codec.compress(encoder.buffer),
    decompress: async (compressed: Buffer, batch: BatchContext) => {
      try {
        if (batch.recordCount > COMPRESSED_BATCH_RECORDS_MAX) {
          throw new Error(`more than ${COMPRESSED_BATCH_RECORDS_MAX} records`);
        }
        return await codec.decompress(compressed);
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error);
        const detail = `a batch of ${batch.recordCount} records from offset ${batch.firstOffset} on, compressed by ${codec.name}: ${why}`;
        const record = encodeUnreadableBatch({ detail, compressed }, batch.lastOffsetDelta);
        return Object.assign(record, { recordCount: 1 });
      }
    },
  };
}
