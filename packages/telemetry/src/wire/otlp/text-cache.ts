const SLOTS = 4_096;
/** Longer texts are rarely repeated, and would make a hit cost as much as a miss. */
const TEXT_BYTES_MAX = 64;

/**
 * Texts by their UTF-8 bytes, for what is repeated in span after span: keys, routes, method names. Finding one costs a
 * third of decoding it anew. Each text has one slot, which the next of the same hash takes over: memory is bounded.
 */
export class TextCache {
  readonly #bytes: (Uint8Array | undefined)[] = new Array(SLOTS).fill(undefined);
  readonly #texts: string[] = new Array(SLOTS).fill("");

  /** The text of `source[start, end)`; what is not UTF-8 becomes U+FFFD. */
  decode(source: Buffer, start: number, end: number): string {
    const length = end - start;
    if (length > TEXT_BYTES_MAX) return source.toString("utf8", start, end);
    let hash = length;
    for (let index = start; index < end; index++) {
      hash = (Math.imul(hash, 31) + (source[index] as number)) | 0;
    }
    const slot = (hash ^ (hash >>> 15)) & (SLOTS - 1);
    const known = this.#bytes[slot];
    if (known !== undefined && known.length === length) {
      let same = 0;
      while (same < length && known[same] === source[start + same]) same++;
      if (same === length) return this.#texts[slot] as string;
    }
    const text = source.toString("utf8", start, end);
    this.#bytes[slot] = Uint8Array.prototype.slice.call(source, start, end);
    this.#texts[slot] = text;
    return text;
  }
}
