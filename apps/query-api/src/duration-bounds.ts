import { DURATION_MS_MAX } from "@timespan/telemetry/wire/decode-span-event";
import { decimal } from "./parameters.ts";
import type { ParameterProblem } from "./problem.ts";

/** A duration as a parameter, in milliseconds. */
export const durationMs = decimal(0, DURATION_MS_MAX);

interface DurationParameters {
  min_duration_ms?: number | undefined;
  max_duration_ms?: number | undefined;
}

/** What is wrong between the two bounds. */
export function durationProblems({ min_duration_ms: min, max_duration_ms: max }: DurationParameters) {
  const problems: ParameterProblem[] = [];
  if (min !== undefined && max !== undefined && min > max) {
    problems.push({ name: "min_duration_ms", reason: "must not be above max_duration_ms" });
  }
  return problems;
}

/** The bounds in whole microseconds, as spans have them. */
export function durationBounds({ min_duration_ms: min, max_duration_ms: max }: DurationParameters) {
  return {
    minDurationUs: min === undefined ? undefined : Math.ceil(round3(min * 1_000)),
    maxDurationUs: max === undefined ? undefined : Math.floor(round3(max * 1_000)),
  };
}

/** 1.001 × 1000 is 1000.9999999999999: what is closer than a nanosecond is meant to be the same. */
function round3(us: number): number {
  return Math.round(us * 1_000) / 1_000;
}
