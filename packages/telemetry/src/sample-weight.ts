/** The largest weight that is believed; a client that says more would own every count. */
export const SAMPLE_WEIGHT_MAX = 1_000_000;
/** Weights are multiples of 1/1024: their sums are then exact as doubles, in any order, up to 2^43. */
const WEIGHT_STEPS = 1_024;

const storedWeight = (weight: number) =>
  Math.min(Math.round(weight * WEIGHT_STEPS) / WEIGHT_STEPS, SAMPLE_WEIGHT_MAX);

/**
 * How many spans one stands for, from `sample_rate`: n of "one in n", or, below 1, the probability of being kept.
 * 1 where it says nothing usable.
 */
export function sampleRateWeight(sampleRate: unknown): number {
  const rate = typeof sampleRate === "string" && sampleRate !== "" ? Number(sampleRate) : sampleRate;
  if (typeof rate !== "number" || !(rate > 0)) return 1;
  return storedWeight(rate < 1 ? 1 / rate : rate);
}

/** 56 bits, the resolution of OpenTelemetry's sampling threshold. */
const THRESHOLD_DIGITS = 14;
const THRESHOLD_END = 2 ** 56;

/**
 * How many spans one stands for, from W3C `tracestate`: OpenTelemetry's rejection threshold `ot=th:…` (a span is
 * kept with probability 1 − th/2^56), or the older `ot=p:…` (kept with probability 2^-p). 1 where it says neither.
 * Source: OpenTelemetry specification, "TraceState: Probability Sampling".
 */
export function traceStateWeight(traceState: string): number {
  const entry = traceState
    .split(",")
    .map((member) => member.trim())
    .find((member) => member.startsWith("ot="));
  if (entry === undefined) return 1;
  for (const field of entry.slice(3).split(";")) {
    const [key, value = ""] = field.split(":");
    if (key === "th" && /^[0-9a-f]{1,14}$/.test(value)) {
      const rejected = Number.parseInt(value.padEnd(THRESHOLD_DIGITS, "0"), 16);
      return storedWeight(THRESHOLD_END / (THRESHOLD_END - rejected));
    }
    if (key === "p" && /^\d{1,2}$/.test(value)) {
      // 63 means a probability of zero, which no kept span has.
      return Number(value) >= 63 ? 1 : storedWeight(2 ** Number(value));
    }
  }
  return 1;
}
