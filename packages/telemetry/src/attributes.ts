import { nestsDeeperThan } from "./json-depth.ts";
import { storableText } from "./rejection.ts";

/** Longest text kept of one attribute value, in UTF-16 units; what is beyond is cut and named in the row. */
export const ATTRIBUTE_VALUE_CHARACTERS_MAX = 32_768;
/** Objects and arrays nested deeper than this are kept as their JSON text. */
export const ATTRIBUTE_DEPTH_MAX = 16;
/** The attribute that names what was cut, so that nobody takes a shortened value for the whole. */
export const TRUNCATED_KEY = "timespan.truncated";

/**
 * Serialises attributes for a `jsonb` column. PostgreSQL refuses NUL and lone surrogates in `jsonb`, so both become
 * U+FFFD; long values are cut and their keys listed under {@link TRUNCATED_KEY}, together with `alreadyTruncated`.
 */
export function serializeAttributes(
  attributes: Readonly<Record<string, unknown>>,
  alreadyTruncated: readonly string[] = [],
): string {
  if (alreadyTruncated.length === 0) {
    const json = stringify(attributes);
    // Most events are short and clean: then the first serialisation is the answer.
    if (
      json !== undefined &&
      json.length <= ATTRIBUTE_VALUE_CHARACTERS_MAX &&
      // Every character that PostgreSQL refuses is written as \\u…; so are a few that it takes.
      !json.includes("\\u") &&
      !(holdsObject(attributes) && nestsDeeperThan(json, ATTRIBUTE_DEPTH_MAX))
    ) {
      return json;
    }
  }
  const truncated = new Set(alreadyTruncated);
  const clean = Object.fromEntries(
    Object.entries(attributes).map(([key, value]) => [
      storableText(key),
      fit(value, 1, () => truncated.add(storableText(key))),
    ]),
  );
  if (truncated.size > 0) clean[TRUNCATED_KEY] = [...truncated];
  return JSON.stringify(clean);
}

/** Most attributes are flat: their text need not be searched for depth. */
function holdsObject(attributes: Readonly<Record<string, unknown>>): boolean {
  for (const key in attributes) if (typeof attributes[key] === "object") return true;
  return false;
}

/** JSON text of `value`, or `undefined` where it nests so deep that the serialiser itself gives up. */
function stringify(value: unknown): string | undefined {
  try {
    return JSON.stringify(value);
  } catch {
    return undefined;
  }
}

function fit(value: unknown, depth: number, onTruncated: () => void): unknown {
  if (typeof value === "string") {
    if (value.length <= ATTRIBUTE_VALUE_CHARACTERS_MAX) return storableText(value);
    onTruncated();
    return storableText(value.slice(0, ATTRIBUTE_VALUE_CHARACTERS_MAX));
  }
  if (typeof value !== "object" || value === null) return value;
  if (depth >= ATTRIBUTE_DEPTH_MAX) {
    const json = stringify(value);
    if (json === undefined) onTruncated();
    return fit(json ?? "(nested too deep to keep)", depth, onTruncated);
  }
  if (Array.isArray(value)) return value.map((item) => fit(item, depth + 1, onTruncated));
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [storableText(key), fit(item, depth + 1, onTruncated)]),
  );
}

/** Longest text that is taken from an attribute into a column of its own. */
export const TEXT_COLUMN_CHARACTERS_MAX = 1_024;

/** The attribute `key` as text for a column, or `undefined` where it is no text or empty. */
export function textAttribute(
  attributes: Readonly<Record<string, unknown>>,
  key: string,
): string | undefined {
  const value = attributes[key];
  if (typeof value !== "string" || value === "") return undefined;
  return storableText(
    value.length > TEXT_COLUMN_CHARACTERS_MAX ? value.slice(0, TEXT_COLUMN_CHARACTERS_MAX) : value,
  );
}

/** Puts an attribute among `attributes`: also one named `__proto__`, which an assignment would take for something else. */
export function setAttribute(attributes: Record<string, unknown>, key: string, value: unknown): void {
  if (key === "__proto__") {
    Object.defineProperty(attributes, key, { value, enumerable: true, configurable: true, writable: true });
  } else attributes[key] = value;
}
