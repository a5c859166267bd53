/**
 * Rows in PostgreSQL's binary COPY format, built in one growing buffer.
 * Format: https://www.postgresql.org/docs/current/sql-copy.html, "Binary Format".
 */
export class CopyEncoder {
  #buffer: Buffer;
  #length = 0;

  constructor(initialBytes = 256 * 1024) {
    this.#buffer = Buffer.allocUnsafe(initialBytes);
    this.#length += this.#buffer.write("PGCOPY\n\xff\r\n\0", 0, "latin1");
    this.#length = this.#buffer.writeInt32BE(0, this.#length); // flags: no OIDs
    this.#length = this.#buffer.writeInt32BE(0, this.#length); // no header extension
  }

  /** The encoded rows with the trailer; the encoder must not be used afterwards. */
  finish(): Buffer {
    this.#reserve(2);
    this.#length = this.#buffer.writeInt16BE(-1, this.#length);
    return this.#buffer.subarray(0, this.#length);
  }

  beginRow(columnCount: number): void {
    this.#reserve(2);
    this.#length = this.#buffer.writeInt16BE(columnCount, this.#length);
  }

  null(): void {
    this.#reserve(4);
    this.#length = this.#buffer.writeInt32BE(-1, this.#length);
  }

  int2(value: number): void {
    this.#field(2);
    this.#length = this.#buffer.writeInt16BE(value, this.#length);
  }

  int4(value: number): void {
    this.#field(4);
    this.#length = this.#buffer.writeInt32BE(value, this.#length);
  }

  /** `value` must be a safe integer: two 32-bit halves are several times faster than a BigInt. */
  int8(value: number): void {
    this.#field(8);
    const high = Math.floor(value / 0x1_0000_0000);
    this.#length = this.#buffer.writeInt32BE(high, this.#length);
    this.#length = this.#buffer.writeUInt32BE(value - high * 0x1_0000_0000, this.#length);
  }

  float8(value: number): void {
    this.#field(8);
    this.#length = this.#buffer.writeDoubleBE(value, this.#length);
  }

  /** Eight bytes given as 16 hex digits, for a `bigint` column. */
  int8FromHex(hex: string): void {
    this.#field(8);
    this.#length += this.#buffer.write(hex, this.#length, 8, "hex");
  }

  /** Sixteen bytes given as 32 hex digits. */
  uuidFromHex(hex: string): void {
    this.#field(16);
    this.#length += this.#buffer.write(hex, this.#length, 16, "hex");
  }

  /** Microseconds since the Unix epoch; PostgreSQL counts from 2000-01-01. */
  timestamptz(timeUs: number): void {
    this.int8(timeUs - POSTGRES_EPOCH_US);
  }

  text(value: string): void {
    this.#utf8(value, "");
  }

  /** Version byte 1, then the JSON text. */
  jsonb(json: string): void {
    this.#utf8(json, "\x01");
  }

  bytea(bytes: Uint8Array): void {
    this.#field(bytes.byteLength);
    this.#buffer.set(bytes, this.#length);
    this.#length += bytes.byteLength;
  }

  #field(bytes: number): void {
    this.#reserve(4 + bytes);
    this.#length = this.#buffer.writeInt32BE(bytes, this.#length);
  }

  #utf8(value: string, prefix: string): void {
    this.#reserve(4 + prefix.length + value.length * 3);
    const start = this.#length + 4;
    let end = start;
    if (prefix !== "") end += this.#buffer.write(prefix, end, "latin1");
    end += this.#buffer.write(value, end, "utf8");
    this.#buffer.writeInt32BE(end - start, this.#length);
    this.#length = end;
  }

  #reserve(bytes: number): void {
    const needed = this.#length + bytes;
    if (needed <= this.#buffer.byteLength) return;
    const grown = Buffer.allocUnsafe(Math.max(needed, this.#buffer.byteLength * 2));
    this.#buffer.copy(grown, 0, 0, this.#length);
    this.#buffer = grown;
  }
}

const POSTGRES_EPOCH_US = Date.UTC(2000, 0, 1) * 1_000;

/** One column of a table and how a row fills it. The list of them is written once and used wherever columns are. */
export interface CopyColumn<Row> {
  name: string;
  write(encoder: CopyEncoder, row: Row): void;
}

export function encodeRows<Row>(columns: readonly CopyColumn<Row>[], rows: readonly Row[]): Buffer {
  const encoder = new CopyEncoder();
  for (const row of rows) {
    encoder.beginRow(columns.length);
    for (const column of columns) column.write(encoder, row);
  }
  return encoder.finish();
}
