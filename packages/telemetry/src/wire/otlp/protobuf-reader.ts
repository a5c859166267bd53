import { BinaryReader, type WireType } from "@bufbuild/protobuf/wire";
import type { UnixNanos } from "./export-request.ts";
import { ItemBudget } from "./limits.ts";
import { TextCache } from "./text-cache.ts";

/** Apart, so that values of which each is new do not push the keys out. */
const keys = new TextCache();
const values = new TextCache();

const TWO_TO_32 = 0x1_0000_0000;

/**
 * Reads fields in protobuf's wire format, in the form that spans and logs want them.
 * Every method throws where the bytes are no such field or end too early.
 */
export class ProtobufReader extends BinaryReader {
  readonly budget = new ItemBudget();
  readonly #source: Buffer;

  constructor(source: Buffer) {
    super(source);
    this.#source = source;
  }

  /** Enters a message that lies within one that ends at `outerEnd`, and returns its own end. */
  enter(outerEnd: number): number {
    const length = this.uint32();
    const end = this.pos + length;
    if (end > outerEnd) throw new RangeError("a message is longer than the one it is in");
    return end;
  }

  /** To be called behind the last field of a message that ends at `end`. */
  leave(end: number): void {
    if (this.pos !== end) throw new RangeError("a field is longer than the message it is in");
  }

  /** Skips the field whose tag was just read. */
  skipField(tag: number): void {
    const field = tag >>> 3;
    if (field === 0) throw new Error("there is no field 0");
    this.skip((tag & 7) as WireType, field);
  }

  text(): string {
    const start = this.#length();
    return values.decode(this.#source, start, this.pos);
  }

  key(): string {
    const start = this.#length();
    return keys.decode(this.#source, start, this.pos);
  }

  hex(): string {
    const start = this.#length();
    return this.#source.toString("hex", start, this.pos);
  }

  base64(): string {
    const start = this.#length();
    return this.#source.toString("base64", start, this.pos);
  }

  /** A signed 64-bit integer: decimal text where a double cannot hold it. */
  integer(): number | string {
    const byte = this.#source[this.pos] ?? 0xff;
    if (byte < 0x80) {
      this.pos++;
      return byte;
    }
    const value = BigInt(this.int64());
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : String(value);
  }

  /** NaN and the infinities, which JSON has not, as text. */
  decimal(): number | string {
    const value = this.double();
    return Number.isFinite(value) ? value : String(value);
  }

  /** Nanoseconds of a `fixed64`, exactly, without the price of a BigInt. */
  unixNanos(): UnixNanos {
    const low = this.#source.readUInt32LE(this.pos);
    const high = this.#source.readUInt32LE(this.pos + 4);
    this.pos += 8;
    const highUs = Math.floor(high / 1_000);
    const rest = (high - highUs * 1_000) * TWO_TO_32 + low;
    const restUs = Math.floor(rest / 1_000);
    return { us: highUs * TWO_TO_32 + restUs, ns: rest - restUs * 1_000 };
  }

  /** Moves behind a length-delimited field and returns where its bytes begin. */
  #length(): number {
    const length = this.uint32();
    const start = this.pos;
    const end = start + length;
    if (end > this.len) throw new RangeError("the message ends within a field");
    this.pos = end;
    return start;
  }
}
