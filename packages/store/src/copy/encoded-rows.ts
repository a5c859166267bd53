import { COPY_HEADER, COPY_TRAILER, type CopyColumn, CopyEncoder } from "./copy-encoder.ts";

/** Bytes handed to the socket at once: large enough that the number of writes does not matter. */
const CHUNK_BYTES = 256 * 1024;

/**
 * Rows of one table as the bytes that COPY sends, encoded one by one as they come. Of a row only its bytes are kept:
 * as objects the rows of a batch would live until it is written, and collecting that garbage costs more than to make it.
 */
export class EncodedRows<Row> {
  readonly #encoder = new CopyEncoder();
  /** Where each row ends. */
  readonly #ends: number[] = [];

  constructor(readonly columns: readonly CopyColumn<Row>[]) {}

  get length(): number {
    return this.#ends.length;
  }

  get byteLength(): number {
    return this.#encoder.byteLength;
  }

  push(row: Row): void {
    const encoder = this.#encoder;
    encoder.beginRow(this.columns.length);
    for (const column of this.columns) column.write(encoder, row);
    this.#ends.push(encoder.byteLength);
  }

  /** Forgets all rows and gives their memory to others. */
  release(): void {
    this.#encoder.release();
    this.#ends.length = 0;
  }

  /** What COPY is to be sent for the rows at `indexes`, in that order, in chunks that each fit a write to a socket. */
  *chunks(indexes: Iterable<number>): Generator<Uint8Array> {
    const framing = COPY_HEADER.byteLength + COPY_TRAILER.byteLength;
    let chunk = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, this.byteLength + framing));
    let length = COPY_HEADER.copy(chunk);
    for (const index of indexes) {
      const start = this.#ends[index - 1] ?? 0;
      const end = this.#ends[index] ?? start;
      const needed = end - start + COPY_TRAILER.byteLength;
      if (length + needed > chunk.byteLength) {
        yield chunk.subarray(0, length);
        chunk = Buffer.allocUnsafe(Math.max(CHUNK_BYTES, needed));
        length = 0;
      }
      this.#encoder.copy(chunk, length, start, end);
      length += end - start;
    }
    length += COPY_TRAILER.copy(chunk, length);
    yield chunk.subarray(0, length);
  }
}
