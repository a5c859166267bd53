/**
 * Durations as bins of OpenTelemetry's exponential histogram, scale 5. Bin i holds the durations in
 * (base^i, base^(i + 1)], base = 2^(2^-5) ≈ 1.0219. Counts per bin add up across windows, services and environments
 * without any loss, and give every quantile within {@link RELATIVE_ERROR_MAX}.
 * Source: OpenTelemetry specification, Metrics Data Model, "ExponentialHistogram".
 */
export const DURATION_BIN_SCALE = 5;
const BINS_PER_OCTAVE = 2 ** DURATION_BIN_SCALE;
const BASE = 2 ** (1 / BINS_PER_OCTAVE);

/** (base − 1) / (base + 1) ≈ 1.083 %: how far {@link binEstimateUs} may be from any duration in its bin. */
export const RELATIVE_ERROR_MAX = (BASE - 1) / (BASE + 1);

/** The bin of a duration of zero, which has no logarithm; below every other. */
export const ZERO_DURATION_BIN = -32_768;

/** The bin of a duration in microseconds, a whole number from 0: fits `smallint`. */
export function durationBin(durationUs: number): number {
  return durationUs <= 0 ? ZERO_DURATION_BIN : Math.ceil(Math.log2(durationUs) * BINS_PER_OCTAVE) - 1;
}

/**
 * What stands for every duration of a bin, in microseconds: 2LU / (L + U) of its bounds, the one value whose relative
 * distance from both ends is the same.
 */
export function binEstimateUs(bin: number): number {
  return bin === ZERO_DURATION_BIN ? 0 : (2 * BASE ** (bin + 1)) / (BASE + 1);
}
