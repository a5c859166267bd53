const FIRST_BUFFER_BYTES = 64 * 1024;

/**
 * The values of a batch's records, copied into one buffer: a value as Kafka's client gives it is a view of the whole
 * answer that it came in, and would keep that in memory until the batch is written.
 */
export class RecordBytes {
  #buffer = Buffer.allocUnsafe(0);
  #length = 0;
  readonly #offsets: number[] = [];
  /** Where each value ends. */
  readonly #ends: number[] = [];

  get byteLength(): number {
    return this.#length;
  }

  /** Takes the value of the record at `offset`, which must be beyond all before it. */
  push(offset: number, value: Buffer): void {
    const end = this.#length + value.byteLength;
    if (end > this.#buffer.byteLength) {
      const grown = Buffer.allocUnsafe(Math.max(end, this.#buffer.byteLength * 2, FIRST_BUFFER_BYTES));
      this.#buffer.copy(grown, 0, 0, this.#length);
      this.#buffer = grown;
    }
    value.copy(this.#buffer, this.#length);
    this.#length = end;
    this.#offsets.push(offset);
    this.#ends.push(end);
  }

  /** The value of the record at `offset`, a view; undefined where there is none. */
  find(offset: number): Uint8Array | undefined {
    const position = this.#offsets.indexOf(offset);
    return position === -1
      ? undefined
      : this.#buffer.subarray(this.#ends[position - 1] ?? 0, this.#ends[position]);
  }
}
