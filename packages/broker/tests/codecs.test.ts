import { describe, expect, test } from "bun:test";
import { gzipSync } from "node:zlib";
import kafkajs, { CompressionTypes } from "kafkajs";
import { compress as compressSnappyBlock } from "snappyjs";
import "../src/connect-kafka.ts";
import {
  COMPRESSED_BATCH_RECORDS_MAX,
  DECOMPRESSED_BATCH_BYTES_MAX,
} from "../src/codecs/record-batch-limits.ts";
import { decompressSnappy } from "../src/codecs/snappy.ts";
import { parseUnreadableBatch } from "../src/codecs/unreadable-batch.ts";

const TYPES = [
  ["gzip", CompressionTypes.GZIP],
  ["snappy", CompressionTypes.Snappy],
  ["lz4", CompressionTypes.LZ4],
  ["zstd", CompressionTypes.ZSTD],
] as const;

/** A batch of what Kafka's producers send: mostly text that repeats, with some that does not. */
const telemetry = Buffer.from(
  Array.from(
    { length: 5_000 },
    (_, index) => `{"name":"GET /orders/${index}","n":${Math.sin(index)}}`,
  ).join(),
);
const batch = { firstOffset: "100", lastOffsetDelta: 9, recordCount: 10 };

type Codec = {
  compress(encoder: { buffer: Buffer }): Promise<Buffer>;
  decompress(bytes: Buffer, context: typeof batch): Promise<Buffer & { recordCount?: number }>;
};
const codecOf = (type: keyof typeof kafkajs.CompressionCodecs) => kafkajs.CompressionCodecs[type]() as Codec;

describe.each(TYPES)("%s", (name, type) => {
  const codec = codecOf(type);

  test.each([0, 1, 13, 1_000, telemetry.byteLength])("gives back %d bytes as they were", async (length) => {
    const bytes = telemetry.subarray(0, length);
    const back = await codec.decompress(await codec.compress({ buffer: bytes }), batch);
    expect(Buffer.from(back).equals(bytes)).toBe(true);
  });

  test("takes a batch as large as the limit, and no larger", async () => {
    const atLimit = await codec.compress({ buffer: Buffer.alloc(DECOMPRESSED_BATCH_BYTES_MAX) });
    expect((await codec.decompress(atLimit, batch)).byteLength).toBe(DECOMPRESSED_BATCH_BYTES_MAX);
    const beyond = await codec.compress({ buffer: Buffer.alloc(DECOMPRESSED_BATCH_BYTES_MAX + 1) });
    expect(await unreadable(codec, beyond)).toEqual({
      detail: `a batch of 10 records from offset 100 on, compressed by ${name}: more than ${DECOMPRESSED_BATCH_BYTES_MAX} bytes when decompressed`,
      compressed: beyond,
    });
  });

  test("a damaged batch is one record at the end of the batch that carries its bytes", async () => {
    const damaged = Buffer.from("this was never compressed by anybody");
    expect((await unreadable(codec, damaged))?.compressed).toEqual(damaged);
  });

  test("a batch of too many records is not made into objects", async () => {
    const bytes = await codec.compress({ buffer: telemetry });
    const result = await codec.decompress(bytes, { ...batch, recordCount: COMPRESSED_BATCH_RECORDS_MAX + 1 });
    expect(result.recordCount).toBe(1);
  });
});

/** What stands in place of a batch that could not be read. */
async function unreadable(codec: Codec, compressed: Buffer) {
  const records = await codec.decompress(compressed, batch);
  expect(records.recordCount).toBe(1);
  const { value, offset } = readRecord(records);
  expect(offset).toBe(batch.lastOffsetDelta);
  return parseUnreadableBatch(value);
}

/** The only record in `bytes`: length, attributes, timestamp, offset, key, value, headers. */
function readRecord(bytes: Buffer): { offset: number; value: Buffer } {
  let position = 0;
  const varint = () => {
    let raw = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[position++] ?? 0;
      raw += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return raw % 2 === 0 ? raw / 2 : -(raw + 1) / 2;
    }
  };
  const length = varint();
  expect(position + length).toBe(bytes.byteLength);
  position++; // attributes
  expect(varint()).toBe(0); // timestamp
  const offset = varint();
  expect(varint()).toBe(-1); // no key
  const valueLength = varint();
  const value = bytes.subarray(position, position + valueLength);
  position += valueLength;
  expect(varint()).toBe(0); // headers
  return { offset, value };
}

test("snappy's blocks in xerial's framing, as Java's producers write them", () => {
  const header = Buffer.from("\x82SNAPPY\0\0\0\0\x01\0\0\0\x01", "latin1");
  const blocks = [
    telemetry.subarray(0, 32_768),
    telemetry.subarray(32_768, 65_536),
    telemetry.subarray(65_536),
  ];
  const framed = Buffer.concat([
    header,
    ...blocks.flatMap((block) => {
      const compressed = compressSnappyBlock(block);
      const length = Buffer.alloc(4);
      length.writeUInt32BE(compressed.byteLength);
      return [length, compressed];
    }),
  ]);
  expect(decompressSnappy(framed).equals(telemetry)).toBe(true);
  expect(() => decompressSnappy(framed.subarray(0, framed.byteLength - 5))).toThrow("beyond the batch");
});

test("what snappy says of its size is believed only up to the limit", () => {
  const lie = Buffer.from([0xff, 0xff, 0xff, 0xff, 0x0f, 0x00, 0x41]);
  expect(() => decompressSnappy(lie)).toThrow("bytes when decompressed");
});

test.each([
  ["null", null],
  ["an event", Buffer.from('{"type":"span"}')],
  ["an export request", Buffer.from([0x0a, 0x02, 0x12, 0x00])],
  ["zeros", Buffer.alloc(64)],
  ["gzip", gzipSync("a")],
])("%s stands for no unreadable batch", (_, value) => {
  expect(parseUnreadableBatch(value)).toBeUndefined();
});
