import { giveBuffer, takeBuffer } from "./spare-buffers.ts";

/** What stands before the rows of a COPY: the signature, flags (no OIDs), and the length of an extension (none). */
export const COPY_HEADER = Buffer.from("PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0", "latin1");
/** What stands behind them: a row of -1 columns. */
export const COPY_TRAILER = Buffer.from([0xff, 0xff]);

/**
 * Rows in PostgreSQL's binary COPY format, built in one growing buffer.
 * Format: https://www.postgresql.org/docs/current/sql-copy.html, "Binary Format".
 */
export class CopyEncoder {
  #buffer: Buffer = EMPTY;
  #length = 0;

  /** How many bytes the rows have so far. */
  get byteLength(): number {
    return this.#length;
  }

  /** Copies the bytes `[start, end)` to where `at` is in `target`. */
  copy(target: Buffer, at: number, start: number, end: number): void {
    this.#buffer.copy(target, at, start, end);
  }

  /** Forgets all rows and gives their memory to others. */
  release(): void {
    giveBuffer(this.#buffer);
    this.#buffer = EMPTY;
    this.#length = 0;
  }

  beginRow(columnCount: number): void {
    this.#reserve(2);
    this.#int2(columnCount);
  }

  null(): void {
    this.#reserve(4);
    this.#int4(-1);
  }

  int2(value: number): void {
    this.#field(2);
    this.#int2(value);
  }

  int4(value: number): void {
    this.#field(4);
    this.#int4(value);
  }

  /** `value` must be a safe integer: two 32-bit halves are several times faster than a BigInt. */
  int8(value: number): void {
    this.#field(8);
    const high = Math.floor(value / 0x1_0000_0000);
    this.#int4(high);
    this.#int4(value - high * 0x1_0000_0000);
  }

  float8(value: number): void {
    this.#field(8);
    this.#length = this.#buffer.writeDoubleBE(value, this.#length);
  }

  /** Eight bytes given as 16 hex digits, for a `bigint` column. */
  int8FromHex(hex: string): void {
    this.#field(8);
    this.#hex(hex, 16);
  }

  /** Sixteen bytes given as 32 hex digits. */
  uuidFromHex(hex: string): void {
    this.#field(16);
    this.#hex(hex, 32);
  }

  /** Microseconds since the Unix epoch; PostgreSQL counts from 2000-01-01. */
  timestamptz(timeUs: number): void {
    this.int8(timeUs - POSTGRES_EPOCH_US);
  }

  text(value: string): void {
    this.#utf8(value, undefined);
  }

  /** Version byte 1, then the JSON text. */
  jsonb(json: string): void {
    this.#utf8(json, 1);
  }

  bytea(bytes: Uint8Array): void {
    this.#field(bytes.byteLength);
    this.#buffer.set(bytes, this.#length);
    this.#length += bytes.byteLength;
  }

  // Below, bytes are set one by one: for a few of them that is faster than a call into the runtime.

  #field(bytes: number): void {
    this.#reserve(4 + bytes);
    this.#int4(bytes);
  }

  #int4(value: number): void {
    const buffer = this.#buffer;
    const at = this.#length;
    buffer[at] = value >>> 24;
    buffer[at + 1] = value >>> 16;
    buffer[at + 2] = value >>> 8;
    buffer[at + 3] = value;
    this.#length = at + 4;
  }

  #int2(value: number): void {
    const buffer = this.#buffer;
    buffer[this.#length] = value >>> 8;
    buffer[this.#length + 1] = value;
    this.#length += 2;
  }

  #hex(hex: string, digits: number): void {
    const buffer = this.#buffer;
    let at = this.#length;
    for (let index = 0; index < digits; index += 2) {
      buffer[at++] =
        ((HEX_VALUE[hex.charCodeAt(index)] ?? 0) << 4) | (HEX_VALUE[hex.charCodeAt(index + 1)] ?? 0);
    }
    this.#length = at;
  }

  #utf8(value: string, prefix: number | undefined): void {
    const { length } = value;
    this.#reserve(5 + length * 3);
    const start = this.#length;
    const buffer = this.#buffer;
    let end = start + 4;
    if (prefix !== undefined) buffer[end++] = prefix;
    const textStart = end;
    if (length <= SHORT_TEXT) {
      for (let index = 0; index < length; index++) {
        const unit = value.charCodeAt(index);
        if (unit > 127) {
          end = -1;
          break;
        }
        buffer[end++] = unit;
      }
    } else end = -1;
    if (end === -1) end = textStart + buffer.write(value, textStart, "utf8");
    this.#int4(end - start - 4);
    this.#length = end;
  }

  #reserve(bytes: number): void {
    const needed = this.#length + bytes;
    if (needed <= this.#buffer.byteLength) return;
    const grown = takeBuffer(Math.max(needed, this.#buffer.byteLength * 2));
    this.#buffer.copy(grown, 0, 0, this.#length);
    giveBuffer(this.#buffer);
    this.#buffer = grown;
  }
}

const EMPTY = Buffer.alloc(0);

/** Up to this length a text is copied unit by unit as long as it is ASCII. */
const SHORT_TEXT = 48;

/** The value of each hex digit, by its character code. */
const HEX_VALUE = new Uint8Array(128);
for (let digit = 0; digit < 16; digit++) {
  HEX_VALUE[digit.toString(16).charCodeAt(0)] = digit;
  HEX_VALUE[digit.toString(16).toUpperCase().charCodeAt(0)] = digit;
}

const POSTGRES_EPOCH_US = Date.UTC(2000, 0, 1) * 1_000;

/** One column of a table and how a row fills it. The list of them is written once and used wherever columns are. */
export interface CopyColumn<Row> {
  name: string;
  write(encoder: CopyEncoder, row: Row): void;
}
