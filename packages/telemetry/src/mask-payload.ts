import { nestsDeeperThan } from "./json-depth.ts";
import type { AttributeMask } from "./mask-attributes.ts";
import { type Rejection, type RejectionReason, reject } from "./rejection.ts";
import { EVENT_DEPTH_MAX } from "./wire/event-fields.ts";

/**
 * The fields of the contract that are stored as they are: masking is of labels, attributes and unknown fields.
 * One that holds an object where a text belongs is looked through like any other.
 */
export const CONTRACT_FIELDS: ReadonlySet<string> = new Set([
  "type",
  "timestamp",
  "service_name",
  "environment",
  "trace_id",
  "span_id",
  "parent_span_id",
  "name",
  "kind",
  "duration_ms",
  "status",
  "level",
  "message",
  "http_method",
  "http_path",
  "http_status_code",
]);

const WITHHELD = "(withheld)";

/**
 * The value of a record with its attributes masked, written anew; null where it is nothing whose keys can be told.
 * Written anew even where nothing was masked: a parser keeps only the last of two equal keys.
 */
export function maskPayload(bytes: Uint8Array, mask: AttributeMask): Uint8Array | null {
  const json = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8");
  const value = parse(json);
  const masked = value === undefined ? undefined : maskEvents(value, mask);
  return masked === undefined ? null : Buffer.from(JSON.stringify(masked));
}

function parse(json: string): unknown {
  if (nestsDeeperThan(json, EVENT_DEPTH_MAX)) return undefined;
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}

/** One event, or a list of events; `undefined` for anything else, such as JSON within a JSON text. */
function maskEvents(value: unknown, mask: AttributeMask): unknown {
  if (typeof value !== "object" || value === null) return undefined;
  if (!Array.isArray(value)) return maskEvent(value as Record<string, unknown>, mask);
  const events = value.map((event) =>
    typeof event === "object" && event !== null && !Array.isArray(event)
      ? maskEvent(event as Record<string, unknown>, mask)
      : undefined,
  );
  return events.includes(undefined) ? undefined : events;
}

function maskEvent(event: Record<string, unknown>, mask: AttributeMask): object {
  const own: [string, unknown][] = [];
  const rest: [string, unknown][] = [];
  for (const [field, value] of Object.entries(event)) {
    if (field === "labels") own.push([field, maskLabels(value, mask)]);
    else if (CONTRACT_FIELDS.has(field)) {
      own.push([field, typeof value === "object" && value !== null ? maskWhole(value, mask) : value]);
    } else rest.push([field, value]);
  }
  return { ...Object.fromEntries(own), ...mask.mask(Object.fromEntries(rest)) };
}

/** Labels that are no object are often an object in a text, whose keys cannot be told for certain. */
function maskLabels(labels: unknown, mask: AttributeMask): unknown {
  if (labels === null) return null;
  return typeof labels === "object" ? maskWhole(labels, mask) : WITHHELD;
}

/** An object or list that stands where the contract has something else; it is masked as attributes are. */
function maskWhole(value: object, mask: AttributeMask): unknown {
  if (!Array.isArray(value)) return mask.mask(value as Record<string, unknown>);
  return mask.mask({ items: value }).items;
}

/** The details of these are made of our own words and the contract's own fields. */
const OWN_WORDS: ReadonlySet<RejectionReason> = new Set<RejectionReason>([
  "invalid_event",
  "event_too_large",
  "unreadable_batch",
  "timestamp_too_old",
  "timestamp_in_future",
]);

/** What is wrong, without what a parser or the database may have quoted of the event. */
export function maskRejection(rejection: Rejection): Rejection {
  const { reason, detail } = rejection;
  if (OWN_WORDS.has(reason)) return rejection;
  // Where there is a code, an SQLSTATE, it comes first and quotes nothing.
  const [code] = /^[0-9A-Z]{5}(?=:)/.exec(detail) ?? [];
  return rejectWith(reason, `${code === undefined ? "" : `${code}: `}message withheld because masking is on`);
}

export const PAYLOAD_WITHHELD = "payload withheld because masking is on and it could not be parsed";

/** `rejection`, whose detail also says that the payload is not kept. */
export function withPayloadWithheld({ reason, detail }: Rejection): Rejection {
  return rejectWith(reason, `${detail}; ${PAYLOAD_WITHHELD}`);
}

function rejectWith(reason: RejectionReason, detail: string): Rejection {
  return reject(reason, detail).rejection;
}
