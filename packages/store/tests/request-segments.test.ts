import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { planSegments, type RollupGrain, sourceOf } from "../src/query/request-segments.ts";

/** Up to when rollups are stored, in hours. */
const HOURS = fc.integer({ min: -5, max: 500 });
const SECOND = 1_000_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY_US = Date.UTC(2026, 10, 21) * 1_000;
const FOREVER = Number.POSITIVE_INFINITY;
const storedUntil = (us: number) => ({ "1m": us, "10m": us, "1h": us });
const rollups = {
  enabled: true,
  thresholdMs: 300_000,
  storedUntilUs: { service: storedUntil(FOREVER), endpoint: storedUntil(FOREVER) },
};

/** As text: `raw 1s | 1m 5m | …`, each segment by its length. */
const plan = (grain: RollupGrain, fromUs: number, toUs: number, stepUs: number | null) =>
  planSegments(grain, { fromUs: DAY_US + fromUs, toUs: DAY_US + toUs }, stepUs, rollups)
    .map(({ source, fromUs, toUs }) => `${source} ${(toUs - fromUs) / SECOND}`)
    .join(", ");

describe("what a window is read from", () => {
  test.each([
    ["raw up to the threshold", "service", 0, 5 * MINUTE, null, "raw 300"],
    ["minutes beyond it", "service", 0, 6 * MINUTE, null, "1m 360"],
    [
      "raw at edges that are on no whole minute",
      "service",
      30 * SECOND,
      8 * MINUTE + 1,
      null,
      "raw 30, 1m 420, raw 0.000001",
    ],
    [
      "the coarsest that fits, finer ones around it",
      "service",
      59 * MINUTE,
      3 * HOUR + 11 * MINUTE,
      null,
      "1m 60, 1h 7200, 10m 600, 1m 60",
    ],
    ["no ten minutes where endpoints have none", "endpoint", 50 * MINUTE, 3 * HOUR, null, "1m 600, 1h 7200"],
    ["no bucket that is larger than an interval", "service", 0, 24 * HOUR, 10 * MINUTE, "10m 86400"],
    ["no bucket that would lie in two intervals", "service", 0, 24 * HOUR, 15 * MINUTE, "1m 86400"],
    ["raw for intervals below a minute", "service", 0, 24 * HOUR, 30 * SECOND, "raw 86400"],
    ["raw for intervals that are no whole minutes", "service", 0, 24 * HOUR, 90 * SECOND, "raw 86400"],
    ["hours for days", "endpoint", 0, 240 * HOUR, 24 * HOUR, "1h 864000"],
  ] as const)("%s", (_, grain, fromUs, toUs, stepUs, expected) => {
    expect(plan(grain, fromUs, toUs, stepUs)).toBe(expected);
  });

  test("is finer, and at last raw, beyond what is stored", () => {
    const window = { fromUs: DAY_US, toUs: DAY_US + 3 * HOUR };
    const stored = {
      "1h": DAY_US + HOUR,
      "10m": DAY_US + 2 * HOUR + 40 * MINUTE,
      "1m": DAY_US + 2 * HOUR + 57 * MINUTE,
    };
    const segments = planSegments("service", window, null, {
      ...rollups,
      storedUntilUs: { service: stored, endpoint: {} },
    });
    expect(segments.map(({ source, toUs }) => [source, (toUs - DAY_US) / MINUTE])).toEqual([
      ["1h", 60],
      ["10m", 160],
      ["1m", 177],
      ["raw", 180],
    ]);
  });

  test("is raw where nothing is stored", () => {
    const window = { fromUs: DAY_US, toUs: DAY_US + 24 * HOUR };
    for (const storedUntilUs of [
      { service: {}, endpoint: {} },
      { service: storedUntil(-FOREVER), endpoint: storedUntil(-FOREVER) },
    ]) {
      expect(planSegments("service", window, null, { ...rollups, storedUntilUs })).toEqual([
        { source: "raw", ...window },
      ]);
    }
  });

  test("is raw where rollups are off", () => {
    const window = { fromUs: DAY_US, toUs: DAY_US + 24 * HOUR };
    const segments = planSegments("service", window, null, { ...rollups, enabled: false });
    expect(segments).toEqual([{ source: "raw", ...window }]);
    expect(sourceOf(segments)).toBe("raw");
  });

  test("is the whole window, each moment once, in whole buckets, at every window and interval", () => {
    const bucketUs = { "1m": MINUTE, "10m": 10 * MINUTE, "1h": HOUR, raw: 1 };
    fc.assert(
      fc.property(
        fc.constantFrom<RollupGrain>("service", "endpoint"),
        fc.integer({ min: 0, max: 48 * HOUR }),
        fc.integer({ min: 1, max: 400 * 24 * HOUR }),
        fc.constantFrom(null, 1, 7, 60, 90, 300, 600, 3_600, 5_400, 86_400),
        fc.record({ "1h": HOURS, "10m": HOURS, "1m": HOURS }),
        (grain, startUs, lengthUs, stepSeconds, stored) => {
          const window = { fromUs: DAY_US + startUs, toUs: DAY_US + startUs + lengthUs };
          const stepUs = stepSeconds === null ? null : stepSeconds * SECOND;
          const storedUntilUs = {
            "1h": DAY_US + stored["1h"] * HOUR,
            "10m": DAY_US + stored["10m"] * HOUR + 10 * MINUTE,
            "1m": DAY_US + stored["1m"] * HOUR + MINUTE,
          };
          const segments = planSegments(grain, window, stepUs, {
            ...rollups,
            storedUntilUs: { service: storedUntilUs, endpoint: storedUntilUs },
          });
          let reachedUs = window.fromUs;
          for (const { source, fromUs, toUs } of segments) {
            expect(fromUs).toBe(reachedUs);
            expect(toUs).toBeGreaterThan(fromUs);
            expect([fromUs % bucketUs[source], toUs % bucketUs[source]]).toEqual([0, 0]);
            if (source !== "raw") expect(toUs).toBeLessThanOrEqual(storedUntilUs[source]);
            if (stepUs !== null && source !== "raw") expect(stepUs % bucketUs[source]).toBe(0);
            reachedUs = toUs;
          }
          expect(reachedUs).toBe(window.toUs);
          expect(segments.length).toBeLessThanOrEqual(7);
        },
      ),
      { seed: 1, numRuns: 1_000 },
    );
  });
});
