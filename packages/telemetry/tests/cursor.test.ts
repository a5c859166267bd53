import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  CURSOR_CHARACTERS_MAX,
  type Cursor,
  decodeCursor,
  encodeCursor,
  queryFingerprint,
} from "../src/cursor.ts";
import { TIME_MAX_US, TIME_MIN_US } from "../src/time-range.ts";

const QUERY = queryFingerprint("spans", { service_name: "cart", sort: "start_time_desc" });

const cursor: Cursor = {
  query: QUERY,
  range: { fromUs: 1_795_273_200_000_000, toUs: null },
  page: 2,
  total: 10_001,
  after: {
    timeUs: 1_795_273_200_000_250,
    durationUs: 12_345,
    sourceId: 3,
    sourceOffset: 9_876_543_210,
    sourceIndex: 7,
  },
};

const time = fc.integer({ min: TIME_MIN_US, max: TIME_MAX_US });
const anyCursor: fc.Arbitrary<Cursor> = fc.record({
  query: fc.string().map((text) => queryFingerprint("spans", { text })),
  range: fc.record({ fromUs: fc.option(time), toUs: fc.option(time) }),
  page: fc.integer({ min: 2, max: 1_000_000 }),
  total: fc.integer({ min: 0, max: 10_001 }),
  after: fc.record({
    timeUs: time,
    durationUs: fc.maxSafeNat(),
    sourceId: fc.integer({ min: 0, max: 32_767 }),
    sourceOffset: fc.maxSafeNat(),
    sourceIndex: fc.integer({ min: 0, max: 2_147_483_647 }),
  }),
});

/** What a client may make of a cursor: its fields, changed, in the same wrapping. */
function forge(change: (fields: unknown[]) => unknown): string {
  const fields = JSON.parse(Buffer.from(encodeCursor(cursor), "base64url").toString());
  return Buffer.from(JSON.stringify(change(fields) ?? fields)).toString("base64url");
}

describe("a cursor", () => {
  test("survives being written and read, and needs no escaping in a URL", () => {
    fc.assert(
      fc.property(anyCursor, (given) => {
        const text = encodeCursor(given);
        expect(text).toMatch(/^[A-Za-z0-9_-]+$/);
        expect(text.length).toBeLessThan(CURSOR_CHARACTERS_MAX);
        expect(decodeCursor(text, given.query)).toEqual({ ok: true, cursor: given });
      }),
    );
  });

  test("of another query is refused, and says so", () => {
    const other = queryFingerprint("spans", { service_name: "cart", sort: "start_time_asc" });
    const decoded = decodeCursor(encodeCursor(cursor), other);
    expect(decoded.ok ? "" : decoded.reason).toContain("another query");
  });

  test("no text makes reading it throw", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: "binary" }), fc.base64String(), fc.json().map(wrap)), (text) => {
        expect(decodeCursor(text, QUERY).ok).toBe(false);
      }),
      { numRuns: 1_000 },
    );
  });

  test.each([
    ["another version", (f: unknown[]) => f.with(0, 2)],
    ["a time as text", (f: unknown[]) => f.with(2, "now")],
    ["a time out of bounds", (f: unknown[]) => f.with(6, 9e15)],
    ["a negative offset", (f: unknown[]) => f.with(9, -1)],
    ["a fraction", (f: unknown[]) => f.with(7, 0.5)],
    ["an integer beyond smallint", (f: unknown[]) => f.with(8, 40_000)],
    ["an integer beyond integer", (f: unknown[]) => f.with(10, 3e9)],
    ["an integer beyond what is exact", (f: unknown[]) => f.with(9, 1e17)],
    ["a missing field", (f: unknown[]) => f.slice(0, -1)],
    ["one field too many", (f: unknown[]) => [...f, 1]],
    ["SQL", (f: unknown[]) => f.with(9, "1; DROP TABLE timespan.spans")],
    ["an object", () => ({ version: 1 })],
  ])("forged with %s is refused", (_, change) => {
    expect(decodeCursor(forge(change), QUERY).ok).toBe(false);
  });

  test("longer than any we write is refused unread", () => {
    expect(decodeCursor("A".repeat(CURSOR_CHARACTERS_MAX + 1), QUERY).ok).toBe(false);
  });
});

describe("the fingerprint of a query", () => {
  test("does not depend on the order of its parts, nor on absent ones", () => {
    expect(queryFingerprint("spans", { a: 1, b: "x", c: undefined })).toBe(
      queryFingerprint("spans", { b: "x", a: 1 }),
    );
  });

  test("differs for another list, another value, and a value under another name", () => {
    const fingerprints = [
      queryFingerprint("spans", { a: "x" }),
      queryFingerprint("logs", { a: "x" }),
      queryFingerprint("spans", { a: "y" }),
      queryFingerprint("spans", { b: "x" }),
      queryFingerprint("spans", { a: "x", b: "" }),
      queryFingerprint("spans", {}),
    ];
    expect(new Set(fingerprints).size).toBe(fingerprints.length);
  });
});

function wrap(json: string): string {
  return Buffer.from(json).toString("base64url");
}
