import type { MaskKeys, MaskPlace } from "./mask-keys.ts";

/** What is nested deeper is not looked through, and so not kept, where masking is on. */
export const MASKED_DEPTH_MAX = 64;
export const TOO_DEEP_TO_MASK = "(nested too deep to mask)";

/** A hash says what it is, so that nobody takes it for a value, and so that it is not hashed again. */
export const HASH_PREFIX = "hmac:";
/** 128 bits: no two values of a lifetime share it. */
export const HASH_HEX_DIGITS = 32;
const HASHED = new RegExp(`^${HASH_PREFIX}[0-9a-f]{${HASH_HEX_DIGITS}}$`);

/** Hashes that are remembered, of short values; beyond it the memory starts afresh. */
const REMEMBERED_HASHES_MAX = 10_000;
const REMEMBERED_VALUE_CHARACTERS_MAX = 128;

type Fields = Readonly<Record<string, unknown>>;

/** Masks attributes by key: drops values, or puts a keyed hash in their place. */
export class AttributeMask {
  readonly keys: MaskKeys;
  readonly #hasher: Bun.CryptoHasher;
  readonly #hashes = new Map<string, string>();

  /** @param secret of the hashes; only used where keys are to be hashed */
  constructor(keys: MaskKeys, secret: string) {
    this.keys = keys;
    this.#hasher = new Bun.CryptoHasher("sha256", secret);
  }

  /** `attributes` with the configured keys masked; the same object where it holds none of them. */
  mask(attributes: Fields): Fields {
    // A client's field `__proto__` may have become the prototype: what it holds must not be found as attributes.
    const own = Object.getPrototypeOf(attributes) === Object.prototype ? attributes : { ...attributes };
    return this.#maskFields(own, this.keys.root, 1);
  }

  /**
   * The hash of a text: `hmac:` and the first 128 bits of its HMAC-SHA-256 in hex. Equal values have equal hashes
   * wherever they stand, so they can be joined on. A hash stays as it is: an event that is sent again is not changed.
   */
  hashText(text: string): string {
    const known = this.#hashes.get(text);
    if (known !== undefined) return known;
    if (text.startsWith(HASH_PREFIX) && HASHED.test(text)) return text;
    // Copied, because preparing the key costs more than hashing a short value.
    const hash = HASH_PREFIX + this.#hasher.copy().update(text).digest("hex").slice(0, HASH_HEX_DIGITS);
    if (text.length <= REMEMBERED_VALUE_CHARACTERS_MAX) {
      if (this.#hashes.size >= REMEMBERED_HASHES_MAX) this.#hashes.clear();
      this.#hashes.set(text, hash);
    }
    return hash;
  }

  /** What is found as a value that is not masked itself; the same where nothing in it is masked. */
  #maskValue(value: unknown, place: MaskPlace, depth: number): unknown {
    if (typeof value !== "object" || value === null) return value;
    if (depth > MASKED_DEPTH_MAX) return TOO_DEEP_TO_MASK;
    if (!Array.isArray(value)) return this.#maskFields(value as Fields, place, depth);
    const pairs = pairNames(value);
    return mapKeeping(value, (item) =>
      isObject(item) && depth < MASKED_DEPTH_MAX
        ? this.#maskFields(item, place, depth + 1, place, pairs)
        : this.#maskValue(item, place, depth + 1),
    );
  }

  /**
   * `{"key": "user.id", "value": …}`, as OTLP's JSON and many a list of headers write it, is the attribute `user.id`.
   * @param fieldPlace where the other fields of the object are
   * @param pairs further names of what is named `value`; see {@link pairNames}
   */
  #maskFields(
    fields: Fields,
    place: MaskPlace,
    depth: number,
    fieldPlace = place,
    pairs: readonly string[] = NO_NAMES,
  ): Fields {
    const name = typeof fields.key === "string" ? fields.key : undefined;
    let masked: Record<string, unknown> | undefined;
    for (const key of Object.keys(fields)) {
      const value = fields[key];
      // What a client sends as null was never there.
      if (value === null || value === undefined) continue;
      const named = name !== undefined && key === "value";
      let step = fieldPlace.step(key);
      if (named) {
        step = place.stepEither(name, step);
        if (name === "value") for (const pair of pairs) step = place.stepEither(pair, step);
      }
      const { rule, next } = step;
      let kept: unknown = value;
      if (rule !== undefined) {
        rule.count++;
        kept = rule.action === "drop" ? undefined : this.#hash(value, named, depth);
      } else if (typeof value === "object") {
        kept = named ? this.#maskAnyValue(value, next, depth + 1) : this.#maskValue(value, next, depth + 1);
      }
      if (kept === value) continue;
      masked ??= { ...fields };
      if (kept === undefined) delete masked[key];
      else masked[key] = kept;
    }
    return masked ?? fields;
  }

  /** As {@link #maskValue}, where the value may be in one of OTLP's wrappers, which are no keys of the client. */
  #maskAnyValue(value: unknown, place: MaskPlace, depth: number): unknown {
    if (!isObject(value)) return this.#maskValue(value, place, depth);
    if (depth > MASKED_DEPTH_MAX) return TOO_DEEP_TO_MASK;
    const list = listIn(value);
    if (list === undefined) return isScalar(value) ? value : this.#maskFields(value, place, depth);
    const pairs = pairNames(list.values);
    const values = mapKeeping(list.values, (item) =>
      list.keyed && isObject(item)
        ? this.#maskFields(item, place, depth + 1, this.keys.root, pairs)
        : this.#maskAnyValue(item, place, depth + 1),
    );
    return values === list.values ? value : { [list.wrapper]: { values } };
  }

  /** The hash of one value, or of each item of a list. An object is hashed as a whole: its keys may tell as much. */
  #hash(value: unknown, named: boolean, depth: number): unknown {
    if (depth > MASKED_DEPTH_MAX) return TOO_DEEP_TO_MASK;
    if (Array.isArray(value)) return value.map((item) => this.#hash(item, named, depth + 1));
    if (!named || typeof value !== "object" || value === null) {
      return this.hashText(typeof value === "string" ? value : canonicalJson(value, depth));
    }
    const list = listIn(value);
    if (list !== undefined && !list.keyed) {
      return { [list.wrapper]: { values: this.#hash(list.values, named, depth + 1) } };
    }
    // The same value has the same hash in a wrapper and out of it.
    return { stringValue: this.#hash(isScalar(value) ? Object.values(value)[0] : value, false, depth) };
  }
}

function isObject(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

const NO_NAMES: readonly string[] = [];

/**
 * `{"key": "user.id", "value": …}` written in OTLP's JSON is a list with an attribute `key` and one `value`. The names
 * that `items` give to their `value` in this way.
 */
function pairNames(items: readonly unknown[]): readonly string[] {
  let names: string[] | undefined;
  for (const item of items) {
    if (!isObject(item) || item.key !== "key") continue;
    const { value } = item;
    const text = isObject(value) ? (value.stringValue ?? value.string_value) : value;
    if (typeof text !== "string") continue;
    names ??= [];
    names.push(text);
  }
  return names ?? NO_NAMES;
}

/** OTLP's wrappers, also as older encoders wrote them. */
const SCALAR_WRAPPERS: ReadonlySet<string> = new Set(
  ["string", "int", "double", "bool", "bytes"].flatMap((type) => [`${type}Value`, `${type}_value`]),
);
const LIST_WRAPPERS = [
  { wrapper: "kvlistValue", keyed: true },
  { wrapper: "kvlist_value", keyed: true },
  { wrapper: "arrayValue", keyed: false },
  { wrapper: "array_value", keyed: false },
] as const;

function isScalar(value: object): boolean {
  const [entry, ...others] = Object.entries(value);
  if (entry === undefined || others.length > 0) return false;
  const [wrapper, scalar] = entry;
  return SCALAR_WRAPPERS.has(wrapper) && (typeof scalar !== "object" || scalar === null);
}

function listIn(value: object) {
  const [entry, ...others] = Object.entries(value);
  if (entry === undefined || others.length > 0) return undefined;
  const [key, inner] = entry;
  const found = LIST_WRAPPERS.find(({ wrapper }) => wrapper === key);
  if (found === undefined || typeof inner !== "object" || inner === null) return undefined;
  const { values, ...rest } = inner as { values?: unknown };
  return Array.isArray(values) && Object.keys(rest).length === 0 ? { ...found, values } : undefined;
}

/** `items` mapped, or the same array where that changes none. */
function mapKeeping(items: readonly unknown[], change: (item: unknown) => unknown): readonly unknown[] {
  let changed: unknown[] | undefined;
  for (let index = 0; index < items.length; index++) {
    const item = change(items[index]);
    if (item === items[index]) continue;
    changed ??= [...items];
    changed[index] = item;
  }
  return changed ?? items;
}

/** JSON with sorted keys: equal values have equal texts. */
function canonicalJson(value: unknown, depth: number): string {
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null";
  if (depth > MASKED_DEPTH_MAX) return JSON.stringify(TOO_DEEP_TO_MASK);
  if (Array.isArray(value)) return `[${value.map((item) => canonicalJson(item, depth + 1)).join(",")}]`;
  const fields = value as Fields;
  const sorted = Object.keys(fields).sort();
  return `{${sorted.map((key) => `${JSON.stringify(key)}:${canonicalJson(fields[key], depth + 1)}`).join(",")}}`;
}
