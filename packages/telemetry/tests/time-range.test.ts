import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { parseTime, resolveTimeRange, TIME_MAX_US, TIME_MIN_US } from "../src/time-range.ts";
import { formatTimestamp } from "../src/timestamp.ts";

const NOW_MS = Date.UTC(2026, 10, 21, 15, 0, 0);
const NOW_US = NOW_MS * 1_000;

describe("a time parameter", () => {
  test.each([
    ["2026-11-21T15:00:00Z", NOW_US],
    ["2026-11-21T15:00:00.000250Z", NOW_US + 250],
    ["2026-11-21T16:00:00+01:00", NOW_US],
    ["2026-11-21T16:00:00 01:00", NOW_US], // the + of a URL that was not escaped
    ["2026-11-21T16:00:00.5 0100", NOW_US + 500_000],
    ["2026-11-21T07:00:00-0800", NOW_US],
    [String(NOW_MS), NOW_US],
    ["0", 0],
    ["now", NOW_US],
    ["now-0s", NOW_US],
    ["now-30s", NOW_US - 30e6],
    ["now-15m", NOW_US - 15 * 60e6],
    ["now-6h", NOW_US - 6 * 3_600e6],
    ["now-7d", NOW_US - 7 * 86_400e6],
    ["now-2w", NOW_US - 14 * 86_400e6],
  ])("%s is read", (text, timeUs) => {
    expect(parseTime(text, NOW_MS)).toEqual({ ok: true, timeUs });
  });

  test.each([
    ["", "must be an ISO"],
    ["yesterday", "must be an ISO"],
    ["now+15m", "must be an ISO"],
    ["now-15", "must be an ISO"],
    ["now-1y", "must be an ISO"],
    ["NaN", "must be an ISO"],
    ["1e12", "must be an ISO"],
    ["2026-11-21", "must be an ISO"],
    ["2026-02-30T00:00:00Z", "must be an ISO"],
    ["2026-11-21T25:00:00Z", "must be an ISO"],
    ["2026-11-21T15:00:00", "needs an offset"],
    ["2026-11-21T15:00", "needs an offset"],
    ["1795273200", "looks like seconds"],
    ["-1", "before 1970"],
    ["1969-12-31T23:59:59Z", "before 1970"],
    ["now-999999999w", "before 1970"],
    ["2200-01-01T00:00:00Z", "before the year 2200"],
    ["99999999999999999999", "before the year 2200"],
  ])("%p is refused with a reason", (text, reason) => {
    const parsed = parseTime(text, NOW_MS);
    expect(parsed.ok).toBe(false);
    expect(parsed.ok ? "" : parsed.reason).toContain(reason);
  });

  test("every time within the bounds survives being written and read", () => {
    fc.assert(
      fc.property(fc.integer({ min: TIME_MIN_US, max: TIME_MAX_US - 1 }), (timeUs) => {
        expect(parseTime(formatTimestamp(timeUs), NOW_MS)).toEqual({ ok: true, timeUs });
      }),
    );
  });

  test("no text makes it throw, or gives a time out of bounds", () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.string({ unit: "binary" }), fc.stringMatching(/^[-+:.TZnow0-9smhdw ]{0,30}$/)),
        (text) => {
          const parsed = parseTime(text, NOW_MS);
          if (parsed.ok) {
            expect(parsed.timeUs).toBeGreaterThanOrEqual(TIME_MIN_US);
            expect(parsed.timeUs).toBeLessThan(TIME_MAX_US);
          } else expect(parsed.reason).not.toBe("");
        },
      ),
      { numRuns: 1_000 },
    );
  });
});

describe("a window", () => {
  const WINDOW_MS = 15 * 60_000;

  test("stays open where nothing was given and there is no default", () => {
    expect(resolveTimeRange({}, NOW_MS)).toEqual({ ok: true, range: { fromUs: null, toUs: null } });
    expect(resolveTimeRange({ from: "now-1h" }, NOW_MS)).toEqual({
      ok: true,
      range: { fromUs: NOW_US - 3_600e6, toUs: null },
    });
  });

  test("with a default ends now, or is as long as the default before its end", () => {
    const range = (fromUs: number, toUs: number) => ({ ok: true as const, range: { fromUs, toUs } });
    expect(resolveTimeRange({}, NOW_MS, WINDOW_MS)).toEqual(range(NOW_US - WINDOW_MS * 1_000, NOW_US));
    expect(resolveTimeRange({ from: "now-2d" }, NOW_MS, WINDOW_MS)).toEqual(
      range(NOW_US - 2 * 86_400e6, NOW_US),
    );
    expect(resolveTimeRange({ to: "now-1h" }, NOW_MS, WINDOW_MS)).toEqual(
      range(NOW_US - 3_600e6 - WINDOW_MS * 1_000, NOW_US - 3_600e6),
    );
  });

  test.each([
    { from: "now", to: "now" },
    { from: "now", to: "now-1s" },
    { from: "2026-11-21T15:00:00.000001Z", to: "2026-11-21T15:00:00Z" },
  ])("from %p is refused: it is not before to", (given) => {
    expect(resolveTimeRange(given, NOW_MS)).toEqual({
      ok: false,
      problems: [{ name: "from", reason: "must be before to" }],
    });
  });

  test("that would end before it begins, because it ends now, says so", () => {
    expect(resolveTimeRange({ from: String(NOW_MS + 1) }, NOW_MS, WINDOW_MS)).toMatchObject({
      ok: false,
      problems: [{ name: "from", reason: expect.stringContaining("now") }],
    });
  });

  test("is at most 400 days long, also where it is open towards now", () => {
    const tooLong = (end: string) => ({
      ok: false as const,
      problems: [{ name: "from" as const, reason: `must be at most 400 days before ${end}` }],
    });
    expect(resolveTimeRange({ from: "2016-01-01T00:00:00Z", to: "2026-01-01T00:00:00Z" }, NOW_MS)).toEqual(
      tooLong("to"),
    );
    expect(resolveTimeRange({ from: "2016-01-01T00:00:00Z" }, NOW_MS)).toEqual(tooLong("now"));
    expect(resolveTimeRange({ from: "now-401d" }, NOW_MS, WINDOW_MS)).toEqual(tooLong("now"));
    expect(resolveTimeRange({ from: "now-400d" }, NOW_MS, WINDOW_MS).ok).toBe(true);
    expect(resolveTimeRange({ to: "2016-01-01T00:00:00Z" }, NOW_MS).ok).toBe(true);
  });

  test("with two bad ends has two problems", () => {
    const resolved = resolveTimeRange({ from: "a", to: "b" }, NOW_MS);
    expect(resolved.ok ? [] : resolved.problems.map(({ name }) => name)).toEqual(["from", "to"]);
  });
});
