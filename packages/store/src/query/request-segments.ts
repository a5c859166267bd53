import type { TimeUs } from "@timespan/telemetry/timestamp";

const HOUR = { level: "1h", bucketUs: 3_600_000_000 } as const;
const TEN_MINUTES = { level: "10m", bucketUs: 600_000_000 } as const;
const MINUTE = { level: "1m", bucketUs: 60_000_000 } as const;

/** The rollups there are, coarsest first; a bucket is a whole number of the next. */
const ROLLUPS = { service: [HOUR, TEN_MINUTES, MINUTE], endpoint: [HOUR, MINUTE] } as const;

type Rollup = (typeof ROLLUPS)[keyof typeof ROLLUPS][number];
export type RollupGrain = keyof typeof ROLLUPS;
export type RollupLevel = Rollup["level"];

/** A part of a window and where its requests are read from: raw spans, or the rollup of a level. */
export interface Segment {
  source: "raw" | RollupLevel;
  fromUs: TimeUs;
  toUs: TimeUs;
}

export interface Window {
  fromUs: TimeUs;
  toUs: TimeUs;
}

export interface RollupOptions {
  enabled: boolean;
  /** Windows up to this long are read raw: there is little to save, and raw is never a refresh behind. */
  thresholdMs: number;
}

/** Up to when the rollups of each grain and level are stored, exclusive; absent where nothing is. */
export type RollupWatermarks = Record<RollupGrain, Partial<Record<RollupLevel, TimeUs>>>;

export interface RollupUse extends RollupOptions {
  storedUntilUs: RollupWatermarks;
}

/**
 * Decides what a window is read from: stored buckets of the coarsest rollup that lie whole within it, finer ones around
 * them, and raw spans at edges that are on no whole minute and where nothing is stored yet. The segments follow one another without gap or overlap, so that
 * their sums are the window's. With `stepUs`, the length of the intervals of a series, no bucket is larger than an
 * interval or lies in two; both count from the Unix epoch.
 */
export function planSegments(
  grain: RollupGrain,
  window: Window,
  stepUs: number | null,
  rollups: RollupUse,
): Segment[] {
  const usesRollups = rollups.enabled && window.toUs - window.fromUs > rollups.thresholdMs * 1_000;
  const levels = usesRollups
    ? ROLLUPS[grain].filter(({ bucketUs }) => stepUs === null || stepUs % bucketUs === 0)
    : [];
  return fill(window, levels, rollups.storedUntilUs[grain]);
}

function fill(
  { fromUs, toUs }: Window,
  [coarsest, ...finer]: readonly Rollup[],
  storedUntilUs: RollupWatermarks[RollupGrain],
): Segment[] {
  if (fromUs >= toUs) return [];
  if (coarsest === undefined) return [{ source: "raw", fromUs, toUs }];
  const { level, bucketUs } = coarsest;
  const firstUs = Math.ceil(fromUs / bucketUs) * bucketUs;
  const lastUs = Math.min(toUs, storedUntilUs[level] ?? Number.NEGATIVE_INFINITY);
  const endUs = Math.floor(lastUs / bucketUs) * bucketUs;
  if (!(firstUs < endUs)) return fill({ fromUs, toUs }, finer, storedUntilUs);
  return [
    ...fill({ fromUs, toUs: firstUs }, finer, storedUntilUs),
    { source: level, fromUs: firstUs, toUs: endUs },
    ...fill({ fromUs: endUs, toUs }, finer, storedUntilUs),
  ];
}

/** Where an answer comes from, in the words of the API. */
export function sourceOf(segments: readonly Segment[]): "raw" | "rollup" | "mixed" {
  const raw = segments.filter(({ source }) => source === "raw").length;
  return raw === segments.length ? "raw" : raw === 0 ? "rollup" : "mixed";
}
