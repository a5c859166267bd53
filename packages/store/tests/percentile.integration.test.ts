import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { durationBin, RELATIVE_ERROR_MAX, ZERO_DURATION_BIN } from "@timespan/telemetry/duration-bin";
import { createTestDatabase, openAsSuperuser, type TestDatabase } from "@timespan/testing/test-database";
import { testEngines } from "@timespan/testing/test-environment";
import { createRandom, type Random } from "@timespan/testing/workload/random";
import { closeDatabase, type Database } from "../src/database.ts";

/** A duration in microseconds, and how many spans it stands for. */
interface Sample {
  us: number;
  weight: number;
}

const QUANTILES = [0, 0.001, 0.01, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1];
const SAMPLES = 3_000;
const FEW_SAMPLES = 2;
/** Windows, services, environments … that are put together. */
const MERGED_PARTS = [1, 2, 7, 60, 500];
/** `double precision` itself is not exact; the bound is of the bins. */
const ROUNDING = 1e-12;

const normal = (random: Random) =>
  Math.sqrt(-2 * Math.log(1 - random.next())) * Math.cos(2 * Math.PI * random.next());
/** Microseconds of each shape of latency. */
const SHAPES: Record<string, (random: Random) => number> = {
  "log-normal around 20 ms": (random) => 20_000 * Math.exp(0.4 * normal(random)),
  "log-normal over five decades": (random) => 50_000 * Math.exp(2.5 * normal(random)),
  "bimodal, hit or miss": (random) => (random.next() < 0.8 ? 300 : 250_000) * Math.exp(0.1 * normal(random)),
  constant: () => 42_000,
  "one of two neighbours": (random) => (random.next() < 0.5 ? 100_000 : 100_001),
  "heavy tail (Pareto 0.7)": (random) => 1_000 * (1 - random.next()) ** (-1 / 0.7),
  uniform: (random) => 1 + random.next() * 1_000_000,
  "below a millisecond": (random) => random.next() * 1_000,
  "a few microseconds, zero too": (random) => random.next() * 6,
  huge: (random) => 3.6e9 * (1 + random.next() * 8_000),
  "powers of two, on the bounds of bins": (random) => 2 ** Math.floor(random.next() * 40),
};
const WEIGHTS: Record<string, (random: Random) => number> = {
  "every span": () => 1,
  sampled: (random) => Math.ceil(random.next() * 100 * 1_024) / 1_024,
};

/** The smallest duration that, with all below it, reaches the share `p` of the weight: `percentile_disc`, weighted. */
function exactPercentile(sorted: readonly Sample[], p: number): number {
  const total = sorted.reduce((sum, { weight }) => sum + weight, 0);
  let running = 0;
  for (const { us, weight } of sorted) {
    running += weight;
    if (running >= p * total) return us;
  }
  return Number.NaN;
}

for (const { engine, present } of testEngines()) {
  describe.skipIf(!present)(`apm.percentile on ${engine}`, () => {
    let created: TestDatabase;
    let database: Database;
    beforeAll(async () => {
      created = await createTestDatabase(engine);
      database = openAsSuperuser(created.url);
    });
    afterAll(async () => {
      await closeDatabase(database);
      await created.drop();
    });

    async function percentiles(bins: number[], counts: number[], quantiles: readonly number[]) {
      const rows = await database<{ us: number | null }[]>`
        SELECT apm.percentile(p, ${bins}::smallint[], ${counts}::float8[]) AS us
        FROM unnest(${[...quantiles]}::float8[]) WITH ORDINALITY AS asked (p, place) ORDER BY place`;
      return rows.map(({ us }) => us);
    }

    test.each(
      Object.keys(SHAPES).flatMap((shape) => Object.keys(WEIGHTS).map((weight) => [shape, weight] as const)),
    )("is within 1.1 %% of the exact order statistic: %s, %s", async (shape, weights) => {
      const random = createRandom(11, shape.length * 31 + weights.length);
      for (const parts of MERGED_PARTS) {
        const samples: Sample[] = Array.from({ length: parts === 1 ? FEW_SAMPLES : SAMPLES }, () => ({
          us: Math.round(SHAPES[shape]?.(random) ?? 0),
          weight: WEIGHTS[weights]?.(random) ?? 1,
        }));
        // Each part counts its own samples, as each minute of each service does; then their rows are put together.
        const counted = Array.from({ length: parts }, () => new Map<number, number>());
        for (const { us, weight } of samples) {
          const part = counted[Math.floor(random.next() * parts)];
          part?.set(durationBin(us), (part.get(durationBin(us)) ?? 0) + weight);
        }
        const rows = counted.flatMap((part) => [...part]);
        const estimates = await percentiles(
          rows.map(([bin]) => bin),
          rows.map(([, count]) => count),
          QUANTILES,
        );
        const sorted = samples.toSorted((a, b) => a.us - b.us);
        for (const [index, p] of QUANTILES.entries()) {
          const exact = exactPercentile(sorted, p);
          const estimate = estimates[index] ?? Number.NaN;
          const error = exact === 0 ? estimate : Math.abs(estimate - exact) / exact;
          if (!(error <= RELATIVE_ERROR_MAX + ROUNDING)) {
            throw new Error(
              `p${p * 100} of ${parts} parts: ${estimate}, but exactly ${exact}: off by ${error}`,
            );
          }
        }
      }
      expect(RELATIVE_ERROR_MAX).toBeLessThan(0.011);
    });

    test("the exact order statistic it is held against is percentile_disc", async () => {
      const random = createRandom(3, 5);
      const samples = Array.from({ length: 400 }, () => ({
        us: Math.round(random.latencyFactor() * 9_000),
        weight: Math.ceil(random.next() * 4),
      })).sort((a, b) => a.us - b.us);
      const [row] = await database<{ exact: number[] }[]>`
        SELECT percentile_disc(${QUANTILES}::float8[]) WITHIN GROUP (ORDER BY us) AS exact
        FROM unnest(${samples.map(({ us }) => us)}::float8[], ${samples.map(({ weight }) => weight)}::int[]) AS given (us, weight),
          generate_series(1, weight)`;
      expect(row?.exact).toEqual(QUANTILES.map((p) => exactPercentile(samples, p)));
    });

    test("nothing counted is no percentile; a single value is every percentile", async () => {
      expect(await percentiles([], [], [0.5])).toEqual([null]);
      expect(await percentiles([7], [0], [0.5])).toEqual([null]);
      expect(await percentiles([ZERO_DURATION_BIN], [3], [0, 0.5, 1])).toEqual([0, 0, 0]);
      const [low, high] = await percentiles([durationBin(1_000)], [1], [0, 1]);
      expect(low).toBe(high as number);
    });

    test("what makes no sense is refused in words", async () => {
      const ask = (p: number, bins: number[], counts: number[]) => percentiles(bins, counts, [p]);
      await expect(ask(95, [1], [1])).rejects.toThrow(
        "a percentile is asked for as a number from 0 to 1, not 95",
      );
      await expect(ask(Number.NaN, [1], [1])).rejects.toThrow("not NaN");
      await expect(ask(0.5, [1, 2], [1])).rejects.toThrow("there are 2 bins, but 1 counts");
    });

    test("analysts and the query API may ask", async () => {
      for (const role of ["timespan_analyst", "timespan_reader"]) {
        await database.begin(async (transaction) => {
          await transaction`SET LOCAL ROLE ${transaction(role)}`;
          const [row] = await transaction`SELECT apm.percentile(0.5, '{448}', '{2}') AS us`;
          expect(row?.us).toBeCloseTo(16_561.4387, 4);
        });
      }
    });
  });
}
