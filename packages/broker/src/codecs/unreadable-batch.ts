/*
 * A compressed batch that cannot be read, because it is damaged or far too large, must not stop its partition: thrown
 * into kafkajs, the error would make it fetch the same batch forever. One record is put in the place of the batch
 * instead. It stands at the batch's last offset and carries the compressed bytes, so that ingest can keep them as a
 * dead letter and go on behind it.
 */

/** What the value of such a record begins with; neither JSON nor protobuf can. */
const MAGIC = Buffer.from("\0timespan:unreadable-batch\0", "latin1");

export interface UnreadableBatch {
  /** A sentence: what kind of batch, and why it cannot be read. */
  detail: string;
  /** The records as they were, compressed. */
  compressed: Buffer;
}

/** What a record says of the batch in whose place it stands; `undefined` for every other record. */
export function parseUnreadableBatch(value: Buffer | null): UnreadableBatch | undefined {
  // Every record comes by here: the first byte tells most of them apart.
  if (value === null || value[0] !== 0 || !value.subarray(0, MAGIC.byteLength).equals(MAGIC))
    return undefined;
  const body = value.subarray(MAGIC.byteLength);
  const end = body.indexOf(0);
  if (end === -1) return undefined;
  return { detail: body.toString("utf8", 0, end), compressed: body.subarray(end + 1) };
}

/** One record, in Kafka's format of records, that stands for a batch whose last offset is `lastOffsetDelta`. */
export function encodeUnreadableBatch(
  { detail, compressed }: UnreadableBatch,
  lastOffsetDelta: number,
): Buffer {
  const value = Buffer.concat([MAGIC, Buffer.from(`${detail.replaceAll("\0", " ")}\0`), compressed]);
  const record = Buffer.concat([
    Buffer.from([0]), // attributes
    varint(0), // timestamp, as distance from that of the batch
    varint(lastOffsetDelta),
    varint(-1), // no key
    varint(value.byteLength),
    value,
    varint(0), // no headers
  ]);
  return Buffer.concat([varint(record.byteLength), record]);
}

/** A signed 32-bit integer, zigzag-encoded, seven bits a byte, the lowest first. */
function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = ((value << 1) ^ (value >> 31)) >>> 0;
  while (rest >= 0x80) {
    bytes.push((rest & 0x7f) | 0x80);
    rest >>>= 7;
  }
  bytes.push(rest);
  return Buffer.from(bytes);
}
