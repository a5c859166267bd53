import { z } from "zod";
import { environmentName } from "../environment-name.ts";
import { isAbsentId, parseSpanId, parseTraceId } from "../ids.ts";
import { nestsDeeperThan } from "../json-depth.ts";
import { type Decoded, reject, storableText } from "../rejection.ts";
import { parseTimestamp } from "../timestamp.ts";

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

export const text = z.string().transform(storableText);

/** A dimension that is grouped and indexed by: cutting it would merge things that differ, so too long is invalid. */
const name = text.pipe(
  z
    .string()
    .min(1, "must not be empty")
    .max(NAME_CHARACTERS_MAX, `must have at most ${NAME_CHARACTERS_MAX} characters`),
);

export const optional = <T extends z.ZodType>(schema: T) =>
  schema.nullish().transform((value) => value ?? undefined);

export const parsed = <T>(parse: (text: string) => T | undefined, message: string) =>
  z.string().transform((value, context): T => {
    const result = parse(value);
    if (result !== undefined) return result;
    context.addIssue({ code: "custom", message });
    return z.NEVER;
  });

export const traceId = parsed(parseTraceId, "must be 32 (or 16) hex digits, not all zero");
export const spanId = parsed(parseSpanId, "must be 16 hex digits, not all zero");

/** An id that may be missing: absent, null, empty and all zero all mean that there is none. */
export const idOrNone = (parse: (text: string) => string | undefined, message: string) =>
  z
    .string()
    .nullish()
    .transform((value, context): string | null => {
      if (value === null || value === undefined || isAbsentId(value)) return null;
      const id = parse(value);
      if (id !== undefined) return id;
      context.addIssue({ code: "custom", message });
      return z.NEVER;
    });

/** One of `names`, in any case. */
export const word = <N extends string>(names: readonly N[]) =>
  parsed(
    (value) => names.find((candidate) => candidate === value.toUpperCase()),
    `must be one of ${names.join(", ")}`,
  );

/** The fields that spans and logs share, validated; every one is used by both decoders. */
export const commonFields = {
  timestamp: optional(parsed(parseTimestamp, "must be an ISO 8601 date and time")),
  service_name: name,
  environment: name.transform(environmentName),
  http_method: optional(text.pipe(z.string().max(NAME_CHARACTERS_MAX))),
  http_path: optional(text),
  http_status_code: optional(
    z
      .union([
        z.number(),
        z
          .string()
          .regex(/^\d{3}$/)
          .transform(Number),
      ])
      .pipe(z.number().int().min(0).max(999)),
  ),
  labels: optional(z.record(z.string(), z.unknown())),
};

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

/** Validates `event`, or says everything that is wrong with it. */
export function validateEvent<S extends z.ZodType>(schema: S, event: unknown): Decoded<z.infer<S>> {
  const result = schema.safeParse(event);
  if (result.success) return { ok: true, value: result.data };
  return reject(
    "invalid_event",
    result.error.issues.map((issue) => `${issue.path.join(".") || "event"}: ${issue.message}`).join("; "),
  );
}

/**
 * The attributes of an event: its labels, and every field the contract does not name, so that nothing a client
 * sends is lost. A label wins over a stray field of the same name.
 */
export function collectAttributes(
  event: Readonly<Record<string, unknown>>,
  known: ReadonlySet<string>,
  labels: Readonly<Record<string, unknown>> | undefined,
): Record<string, unknown> {
  const attributes: Record<string, unknown> = labels === undefined ? {} : { ...labels };
  for (const key in event) {
    if (!known.has(key) && !(key in attributes) && event[key] !== null) attributes[key] = event[key];
  }
  return attributes;
}

/** `value` cut to `max` characters; a cut field's name is pushed to `truncated`. */
export function cut(value: string, max: number, field: string, truncated: string[]): string {
  if (value.length <= max) return value;
  truncated.push(field);
  return value.slice(0, max).toWellFormed();
}
