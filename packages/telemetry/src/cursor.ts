import { z } from "zod";
import { TIME_MAX_US, TIME_MIN_US, type TimeRange } from "./time-range.ts";

/** The place of a row in every list: the sort keys, then the Kafka record it came from, which makes it unique. */
export interface Position {
  timeUs: number;
  /** 0 in lists of what has no duration. */
  durationUs: number;
  sourceId: number;
  sourceOffset: number;
  sourceIndex: number;
}

/**
 * Where a list goes on. The client hands it back unread, together with the parameters it asked with. It carries the
 * window those meant on the first page, so that `now-15m` does not move between pages, and the total counted then.
 */
export interface Cursor {
  /** Fingerprint of the list, its filters and its sort: a cursor continues only the query it came from. */
  query: string;
  range: TimeRange;
  /** Number of the page that it leads to, from 2. */
  page: number;
  total: number;
  /** The last item before that page. */
  after: Position;
}

/** Far above what we write (about 200 characters), far below what would cost anything to look at. */
export const CURSOR_CHARACTERS_MAX = 512;

const VERSION = 1;
const time = z.int().min(TIME_MIN_US).max(TIME_MAX_US);
const stored = z.tuple([
  z.literal(VERSION),
  z.string(),
  time.nullable(),
  time.nullable(),
  z.int().min(2),
  z.int().min(0),
  time,
  z.int().min(0),
  z.int().min(0).max(32_767), // smallint
  z.int().min(0),
  z.int().min(0).max(2_147_483_647), // integer
]);

/** The cursor as opaque text that needs no escaping in a URL. */
export function encodeCursor({ query, range, page, total, after }: Cursor): string {
  const fields: z.infer<typeof stored> = [
    VERSION,
    query,
    range.fromUs,
    range.toUs,
    page,
    total,
    after.timeUs,
    after.durationUs,
    after.sourceId,
    after.sourceOffset,
    after.sourceIndex,
  ];
  return btoa(JSON.stringify(fields)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

export type DecodedCursor = { ok: true; cursor: Cursor } | { ok: false; reason: string };

/**
 * Reads a cursor that must belong to `query`, where that is known. Anything may come from a client, so every field is
 * checked, and what does not fit is a reason in words, never an error.
 */
export function decodeCursor(text: string, query: string | undefined): DecodedCursor {
  const parsed = stored.safeParse(unpack(text));
  if (!parsed.success)
    return { ok: false, reason: "is not a cursor of this version; start again without it" };
  const [, storedQuery, fromUs, toUs, page, total, timeUs, durationUs, sourceId, sourceOffset, sourceIndex] =
    parsed.data;
  if (query !== undefined && storedQuery !== query) {
    return {
      ok: false,
      reason:
        "belongs to another query; send it with the same filters, times and sort, or start again without it",
    };
  }
  const after = { timeUs, durationUs, sourceId, sourceOffset, sourceIndex };
  return { ok: true, cursor: { query: storedQuery, range: { fromUs, toUs }, page, total, after } };
}

function unpack(text: string): unknown {
  if (text.length > CURSOR_CHARACTERS_MAX || !/^[A-Za-z0-9_-]+$/.test(text)) return undefined;
  try {
    return JSON.parse(atob(text.replaceAll("-", "+").replaceAll("_", "/")));
  } catch {
    return undefined;
  }
}

const FNV_OFFSET = 0xcbf29ce484222325n;
const FNV_PRIME = 0x100000001b3n;

/**
 * Fingerprint of a query: 64-bit FNV-1a over its parts in the order of their names, absent ones left out. It catches
 * mistakes, it protects nothing: filters always come from the request itself, never from a cursor.
 */
export function queryFingerprint(list: string, parts: Readonly<Record<string, unknown>>): string {
  const given = Object.entries(parts)
    .filter(([, value]) => value !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  let hash = FNV_OFFSET;
  for (const byte of new TextEncoder().encode(JSON.stringify([list, given]))) {
    hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * FNV_PRIME);
  }
  return hash.toString(36);
}
