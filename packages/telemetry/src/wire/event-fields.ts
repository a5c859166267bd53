import { setAttribute } from "../attributes.ts";
import { isAbsentId } from "../ids.ts";
import { nestsDeeperThan } from "../json-depth.ts";
import { type Decoded, reject, storableText } from "../rejection.ts";
import { parseTimestamp, type TimeUs } from "../timestamp.ts";

/** A larger event is a dead letter: it would crowd out a whole batch. Kafka's own default limit is 1 MiB. */
export const EVENT_BYTES_MAX = 4 * 1024 * 1024;
/** An event that nests deeper is a dead letter. */
export const EVENT_DEPTH_MAX = 500;
const EVENT_DEPTH_CHECKED_FROM_BYTES = 4_096;
/** Names stand in btree indexes, whose entries end at 2,704 bytes: four bytes a character and room for the rest. */
export const NAME_CHARACTERS_MAX = 255;
/** Texts that are kept, cut at this length and marked, but never indexed. */
export const SPAN_NAME_CHARACTERS_MAX = 1_024;
export const HTTP_PATH_CHARACTERS_MAX = 8_192;
export const BODY_CHARACTERS_MAX = 262_144;

/** What is wrong with an event, a `field: reason` each. */
export type Problems = string[];

/** An event as it was parsed: an object with fields of any kind. */
export type EventFields = Readonly<Record<string, unknown>>;

// The readers below are written by hand: they are the hottest code of ingest, where a schema took a fifth of the time.
// Each reads one field, and says what is wrong with it as one of `problems`; what it then returns is of no use.

/** The field `type`, which must say `expected`. */
export function readType(event: EventFields, expected: string, problems: Problems): void {
  if (event.type !== expected) problems.push(`type: must be ${JSON.stringify(expected)}`);
}

/** A text that must be there, as it came. */
export function readRequiredText(event: EventFields, field: string, problems: Problems): string {
  const value = event[field];
  if (typeof value === "string") return value;
  problems.push(`${field}: must be a text`);
  return "";
}

/** A dimension that is grouped and indexed by: cutting it would merge things that differ, so too long is invalid. */
export function readName(event: EventFields, field: string, problems: Problems): string {
  const value = readRequiredText(event, field, problems);
  if (value === "") problems.push(`${field}: must not be empty`);
  if (value.length > NAME_CHARACTERS_MAX) {
    problems.push(`${field}: must have at most ${NAME_CHARACTERS_MAX} characters`);
  }
  return storableText(value);
}

/** A text that may be missing, as it came. */
export function readOptionalText(
  event: EventFields,
  field: string,
  charactersMax: number,
  problems: Problems,
): string | null {
  const value = event[field];
  if (value === null || value === undefined) return null;
  if (typeof value === "string" && value.length <= charactersMax) return value;
  problems.push(`${field}: must be a text of at most ${charactersMax} characters`);
  return null;
}

/** A number from 0 to `max`. */
export function readNumber(event: EventFields, field: string, max: number, problems: Problems): number {
  const value = event[field];
  if (typeof value === "number" && value >= 0 && value <= max) return value;
  problems.push(`${field}: must be a number from 0 to ${max}`);
  return 0;
}

/** A status of three digits, which some write as text; null where there is none. */
export function readHttpStatusCode(event: EventFields, problems: Problems): number | null {
  const value = event.http_status_code;
  if (value === null || value === undefined) return null;
  if (typeof value === "string" ? /^\d{3}$/.test(value) : Number.isInteger(value)) {
    const code = Number(value);
    if (code >= 0 && code <= 999) return code;
  }
  problems.push("http_status_code: must be a whole number from 0 to 999");
  return null;
}

/** The labels, where there are any. */
export function readLabels(event: EventFields, problems: Problems): EventFields | null {
  const value = event.labels;
  if (value === null || value === undefined) return null;
  if (typeof value === "object" && !Array.isArray(value)) return value as EventFields;
  problems.push("labels: must be an object");
  return null;
}

/** What the text of `field` means, by `parse`; `message` says what it must be. */
export function readText<T>(
  event: EventFields,
  field: string,
  parse: (text: string) => T | undefined,
  message: string,
  problems: Problems,
): T | undefined {
  const value = event[field];
  const parsed = typeof value === "string" ? parse(value) : undefined;
  if (parsed === undefined) problems.push(`${field}: ${message}`);
  return parsed;
}

/** An id that may be missing: absent, null, empty and all zero all mean that there is none. */
export function readIdOrNone(
  event: EventFields,
  field: string,
  parse: (text: string) => string | undefined,
  message: string,
  problems: Problems,
): string | null {
  const value = event[field];
  if (value === null || value === undefined || (typeof value === "string" && isAbsentId(value))) return null;
  return readText(event, field, parse, message, problems) ?? null;
}

/** The event's own time, or `recordTimeMs` where it has none, in microseconds. */
export function readTime(event: EventFields, recordTimeMs: number, problems: Problems): TimeUs {
  const { timestamp } = event;
  if (timestamp === null || timestamp === undefined) return recordTimeMs * 1_000;
  return readText(event, "timestamp", parseTimestamp, "must be an ISO 8601 date and time", problems) ?? 0;
}

/** A function that finds one of `names` in any case, and the sentence for what is none. */
export function oneOf<N extends string>(names: readonly N[]) {
  const byText = new Map<string, N>(
    names.flatMap((each) => [[each, each] as const, [each.toLowerCase(), each] as const]),
  );
  return {
    parse: (text: string): N | undefined => byText.get(text) ?? byText.get(text.toUpperCase()),
    message: `must be one of ${names.join(", ")}`,
  };
}

const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });

/** Parses a Kafka record's value as one JSON object. */
export function parseJsonObject(bytes: Uint8Array | null): Decoded<Record<string, unknown>> {
  if (bytes === null || bytes.byteLength === 0) return reject("malformed_json", "the record has no value");
  if (bytes.byteLength > EVENT_BYTES_MAX) {
    return reject("event_too_large", `${bytes.byteLength} bytes; the limit is ${EVENT_BYTES_MAX}`);
  }
  const json = utf8.decode(bytes);
  // A short event cannot nest deep enough to cost anything; for a long one the serialiser takes seconds to give up.
  if (bytes.byteLength > EVENT_DEPTH_CHECKED_FROM_BYTES && nestsDeeperThan(json, EVENT_DEPTH_MAX)) {
    return reject("invalid_event", `nested deeper than ${EVENT_DEPTH_MAX}`);
  }
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (error) {
    return reject("malformed_json", error instanceof Error ? error.message : "not JSON");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return reject("invalid_event", "the event must be a JSON object");
  }
  return { ok: true, value: value as Record<string, unknown> };
}

/**
 * The attributes of an event: its labels, and every field the contract does not name, so that nothing a client
 * sends is lost. A label wins over a stray field of the same name.
 */
export function collectAttributes(
  event: EventFields,
  known: ReadonlySet<string>,
  labels: EventFields | null,
): Record<string, unknown> {
  const attributes: Record<string, unknown> = { ...labels };
  for (const key in event) {
    if (known.has(key) || event[key] === null || Object.hasOwn(attributes, key)) continue;
    setAttribute(attributes, key, event[key]);
  }
  return attributes;
}

/** `value` as PostgreSQL can hold it, cut to `max` characters; a cut field's name is pushed to `truncated`. */
export function cut(value: string, max: number, field: string, truncated: string[]): string {
  if (value.length <= max) return storableText(value);
  truncated.push(field);
  return storableText(value.slice(0, max));
}
