import { expect, test } from "bun:test";
import {
  binEstimateUs,
  durationBin,
  RELATIVE_ERROR_MAX,
  ZERO_DURATION_BIN,
} from "@timespan/telemetry/duration-bin";

test("the estimate of a bin is within the stated error of every duration in it", () => {
  expect(RELATIVE_ERROR_MAX).toBeLessThan(0.011);
  let worst = 0;
  for (let us = 1; us < 2 ** 53; us = Math.max(us + 1, Math.floor(us * 1.0007))) {
    worst = Math.max(worst, Math.abs(binEstimateUs(durationBin(us)) / us - 1));
  }
  // The width of a float on top of the formula.
  expect(worst).toBeLessThanOrEqual(RELATIVE_ERROR_MAX + 1e-12);
});

test("bins never fall as durations rise, and fit smallint", () => {
  let before = durationBin(0);
  expect(before).toBe(ZERO_DURATION_BIN);
  for (const us of [1, 2, 3, 4, 1_000, 1_001, 1_024, 1_025, 3_600_000_000, Number.MAX_SAFE_INTEGER]) {
    const bin = durationBin(us);
    expect(bin).toBeGreaterThanOrEqual(before);
    before = bin;
  }
  expect(before).toBeLessThan(32_768);
});

test("a power of the base is the upper bound of its bin", () => {
  expect(durationBin(1)).toBe(-1);
  expect(durationBin(2)).toBe(31);
  expect(durationBin(1_024)).toBe(319);
  expect(durationBin(1_025)).toBe(320);
});

test("a duration of zero is estimated as zero", () => {
  expect(binEstimateUs(durationBin(0))).toBe(0);
});
