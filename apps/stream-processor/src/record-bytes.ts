import { giveBuffer, takeBuffer } from "@timespan/store/copy/spare-buffers";

/**
 * The values of a batch's records, copied into one buffer: a value as Kafka's client gives it is a view of the whole
 * answer that it came in, and would keep that in memory until the batch is written.
 */
export class RecordBytes {
  #buffer: Buffer = EMPTY;
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
      const grown = takeBuffer(Math.max(end, this.#buffer.byteLength * 2));
      this.#buffer.copy(grown, 0, 0, this.#length);
      giveBuffer(this.#buffer);
      this.#buffer = grown;
    }
    value.copy(this.#buffer, this.#length);
    this.#length = end;
    this.#offsets.push(offset);
    this.#ends.push(end);
  }

  /** Forgets all values and gives their memory to others. */
  release(): void {
    giveBuffer(this.#buffer);
    this.#buffer = EMPTY;
    this.#length = 0;
    this.#offsets.length = 0;
    this.#ends.length = 0;
  }

  /** The value of the record at `offset`, a view; undefined where there is none. */
  find(offset: number): Uint8Array | undefined {
    const position = this.#offsets.indexOf(offset);
    return position === -1
      ? undefined
      : this.#buffer.subarray(this.#ends[position - 1] ?? 0, this.#ends[position]);
  }
}

const EMPTY = Buffer.alloc(0);
