import { z } from "zod";
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

/** A dimension that is grouped and indexed by: cutting it would merge things that differ, so too long is invalid. */
const name = z
  .string()
  .min(1, "must not be empty")
  .max(NAME_CHARACTERS_MAX, `must have at most ${NAME_CHARACTERS_MAX} characters`);

/**
 * The fields that spans and logs share. The schemas say types and sizes only and transform nothing: zod compiles
 * such an object to straight code, several times faster. What a text means is read by {@link readText} and its kin.
 */
export const commonFields = {
  timestamp: z.string().nullish(),
  service_name: name,
  environment: name,
  http_method: z.string().max(NAME_CHARACTERS_MAX).nullish(),
  http_path: z.string().nullish(),
  http_status_code: z
    .custom<number | string>(isHttpStatusCode, "must be a whole number from 0 to 999")
    .nullish(),
  labels: z.custom<Record<string, unknown>>(isObject, "must be an object").nullish(),
};

function isHttpStatusCode(value: unknown): boolean {
  if (typeof value === "string") return /^\d{3}$/.test(value);
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= 999;
}

function isObject(value: unknown): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** What is wrong with an event, a `field: reason` each. */
export type Problems = string[];

/**
 * What the text of `field` means, by `parse`. Where it means nothing that is a problem, said with `message`; where it
 * is no text the schema has said so already.
 */
export function readText<T>(
  event: Readonly<Record<string, unknown>>,
  field: string,
  parse: (text: string) => T | undefined,
  message: string,
  problems: Problems,
): T | undefined {
  const value = event[field];
  if (typeof value !== "string") return undefined;
  const parsed = parse(value);
  if (parsed === undefined) problems.push(`${field}: ${message}`);
  return parsed;
}

/** An id that may be missing: absent, null, empty and all zero all mean that there is none. */
export function readIdOrNone(
  event: Readonly<Record<string, unknown>>,
  field: string,
  parse: (text: string) => string | undefined,
  message: string,
  problems: Problems,
): string | null {
  const value = event[field];
  if (typeof value !== "string" || isAbsentId(value)) return null;
  return readText(event, field, parse, message, problems) ?? null;
}

/** The event's own time, or `recordTimeMs` where it has none, in microseconds. */
export function readTime(
  event: Readonly<Record<string, unknown>>,
  recordTimeMs: number,
  problems: Problems,
): TimeUs {
  return (
    readText(event, "timestamp", parseTimestamp, "must be an ISO 8601 date and time", problems) ??
    recordTimeMs * 1_000
  );
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

/** Parses a Kafka record's value as one JSON object. */
export function parseJsonObject(bytes: Uint8Array | null): Decoded<Record<string, unknown>> {
  if (bytes === null || bytes.byteLength === 0) return reject("malformed_json", "the record has no value");
  if (bytes.byteLength > EVENT_BYTES_MAX) {
    return reject("event_too_large", `${bytes.byteLength} bytes; the limit is ${EVENT_BYTES_MAX}`);
  }
  const json = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8");
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

/** Checks `event` against `schema`; what is wrong is added to `problems`. */
export function checkShape<S extends z.ZodType>(
  schema: S,
  event: unknown,
  problems: Problems,
): z.infer<S> | undefined {
  const result = schema.safeParse(event);
  if (result.success) return result.data;
  for (const issue of result.error.issues)
    problems.push(`${issue.path.join(".") || "event"}: ${issue.message}`);
  return undefined;
}

/**
 * The attributes of an event: its labels, and every field the contract does not name, so that nothing a client
 * sends is lost. A label wins over a stray field of the same name.
 */
export function collectAttributes(
  event: Readonly<Record<string, unknown>>,
  known: ReadonlySet<string>,
  labels: Readonly<Record<string, unknown>> | null | undefined,
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
