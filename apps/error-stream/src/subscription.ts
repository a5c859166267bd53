import type { ErrorFilter } from "@timespan/store/log-records/list-errors";
import { environmentName } from "@timespan/telemetry/environment-name";
import { parseTime } from "@timespan/telemetry/time-range";
import type { TimeUs } from "@timespan/telemetry/timestamp";
import { z } from "zod";
import { type Cursor, type EventPlace, parseCursor, parseEventId } from "./event-position.ts";
import type { Problem } from "./frame.ts";

/** From where a client wants events; without it, from now on. */
export type ReplayStart =
  | { from: "cursor"; cursor: Cursor }
  | { from: "event"; place: EventPlace }
  | { from: "time"; timeUs: TimeUs }
  | { from: "last"; count: number };

export interface Subscription {
  filter: ErrorFilter;
  replay: ReplayStart | undefined;
}

export type ReadSubscription = { ok: true; subscription: Subscription } | { ok: false; problems: Problem[] };

export const EVERYTHING: ErrorFilter = { services: null, environments: null, message: null, labels: [] };

/** Limits of one filter: far more than a person needs, and little enough to match thousands of them. */
export const FILTER_NAMES_MAX = 100;
export const FILTER_NAME_CHARACTERS_MAX = 255;
export const FILTER_MESSAGE_CHARACTERS_MAX = 1_024;
export const FILTER_LABELS_MAX = 10;
export const REPLAY_LAST_MAX = 10_000;

/** The subscription that the parameters of a URL describe. @param lastEventId as a returning SSE client sends it */
export function readUrlSubscription(
  parameters: URLSearchParams,
  nowMs: number,
  lastEventId?: string,
): ReadSubscription {
  const pairs = [...parameters];
  if (lastEventId !== undefined && lastEventId !== "") {
    // Newer than what the URL says: the URL stays the same from one connection to the next.
    return readPairs(
      [...pairs.filter(([name]) => name !== "since" && name !== "last"), ["since", lastEventId]],
      nowMs,
    );
  }
  return readPairs(pairs, nowMs);
}

const text = z.union([z.string(), z.number(), z.boolean()]).transform(String);
const message = z.strictObject({
  subscribe: z.strictObject({
    service_name: z.union([text.transform((name) => [name]), z.array(text)]).optional(),
    environment: z.union([text.transform((name) => [name]), z.array(text)]).optional(),
    message: text.optional(),
    label: z.record(z.string(), text).optional(),
    since: text.optional(),
    last: text.optional(),
  }),
});

/** The subscription that a client's message asks for. */
export function readMessageSubscription(json: string, nowMs: number): ReadSubscription {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    return { ok: false, problems: [{ name: "message", reason: "is not JSON" }] };
  }
  const read = message.safeParse(value);
  if (!read.success) {
    return {
      ok: false,
      problems: read.error.issues.map(({ path, message: reason }) => ({
        name: path.join(".") || "message",
        reason: path.length === 0 ? 'must be {"subscribe":{…}}' : reason,
      })),
    };
  }
  const { service_name = [], environment = [], label = {}, ...others } = read.data.subscribe;
  return readPairs(
    [
      ...service_name.map((name) => ["service_name", name] as const),
      ...environment.map((name) => ["environment", name] as const),
      ...Object.entries(label).map(([key, labelValue]) => [`label.${key}`, labelValue] as const),
      ...Object.entries(others).flatMap(([name, given]) =>
        given === undefined ? [] : [[name, given] as const],
      ),
    ],
    nowMs,
  );
}

function readPairs(
  pairs: readonly (readonly [name: string, value: string])[],
  nowMs: number,
): ReadSubscription {
  const problems: Problem[] = [];
  const services: string[] = [];
  const environments: string[] = [];
  const labels: { key: string; value: string }[] = [];
  const seen = new Set<string>();
  let contained: string | null = null;
  let replay: ReplayStart | undefined;
  const refuse = (name: string, reason: string) => problems.push({ name, reason });

  for (const [name, value] of pairs) {
    if (name === "service_name") services.push(...names(value));
    else if (name === "environment") environments.push(...names(value).map(environmentName));
    else if (seen.has(name)) refuse(name, "is given twice");
    else if (name === "message") contained = value === "" ? null : value;
    else if (name === "since") replay = readSince(value, nowMs, refuse);
    else if (name === "last") replay = readLast(value, refuse);
    else if (/^label\../.test(name)) labels.push({ key: name.slice("label.".length), value });
    else
      refuse(
        name,
        "is not known; filters are service_name, environment, message, label.<key>, since and last",
      );
    if (name !== "service_name" && name !== "environment") seen.add(name);
  }
  if (seen.has("since") && seen.has("last")) refuse("last", "cannot be combined with since");
  if (services.length > FILTER_NAMES_MAX) refuse("service_name", `must be at most ${FILTER_NAMES_MAX} names`);
  if (environments.length > FILTER_NAMES_MAX)
    refuse("environment", `must be at most ${FILTER_NAMES_MAX} names`);
  if (labels.length > FILTER_LABELS_MAX) refuse("label", `must be at most ${FILTER_LABELS_MAX} labels`);
  for (const [name, all] of [
    ["service_name", services],
    ["environment", environments],
    ["label", labels.flatMap(({ key, value }) => [key, value])],
  ] as const) {
    if (all.some((each) => each.length > FILTER_NAME_CHARACTERS_MAX)) {
      refuse(name, `must be at most ${FILTER_NAME_CHARACTERS_MAX} characters`);
    }
  }
  if (contained !== null && contained.length > FILTER_MESSAGE_CHARACTERS_MAX) {
    refuse("message", `must be at most ${FILTER_MESSAGE_CHARACTERS_MAX} characters`);
  }
  if (
    [...services, ...environments, ...labels.flatMap(({ key, value }) => [key, value]), contained ?? ""].some(
      (each) => each.includes("\0"),
    )
  ) {
    refuse("filter", "must not contain NUL");
  }
  if (problems.length > 0) return { ok: false, problems };
  return {
    ok: true,
    subscription: {
      filter: {
        services: services.length > 0 ? services : null,
        environments: environments.length > 0 ? environments : null,
        message: contained,
        labels,
      },
      replay,
    },
  };
}

/** Names separated by commas; none for an empty text, as a form sends it. */
function names(value: string): string[] {
  return value
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "");
}

type Refuse = (name: string, reason: string) => void;

function readSince(value: string, nowMs: number, refuse: Refuse): ReplayStart | undefined {
  const place = parseEventId(value);
  if (place !== undefined) return { from: "event", place };
  const cursor = parseCursor(value);
  if (cursor !== undefined) return { from: "cursor", cursor };
  const time = parseTime(value, nowMs);
  if (time.ok) return { from: "time", timeUs: time.timeUs };
  refuse("since", `is neither the id of a frame nor of an event, nor a time: ${time.reason}`);
  return undefined;
}

function readLast(value: string, refuse: Refuse): ReplayStart | undefined {
  const count = /^\d{1,9}$/.test(value) ? Number(value) : Number.NaN;
  if (count <= REPLAY_LAST_MAX) return { from: "last", count };
  refuse("last", `must be a whole number up to ${REPLAY_LAST_MAX}`);
  return undefined;
}
