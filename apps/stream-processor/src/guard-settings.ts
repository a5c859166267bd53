import { Counter, type Registry } from "@timespan/runtime/metrics";
import { list, SettingsError, wholeNumber } from "@timespan/runtime/settings";
import {
  type CountingGuards,
  createGuards as createCountingGuards,
  type GuardHooks,
  type GuardOptions,
} from "@timespan/telemetry/guards";
import {
  ENDPOINTS_PER_SERVICE_MAX_DEFAULT,
  LOG_PATTERNS_PER_SERVICE_MAX_DEFAULT,
} from "@timespan/telemetry/guards-name-limit";
import { MASK_KEYS_MAX, maskKeyProblem } from "@timespan/telemetry/mask-keys";
import { CONTRACT_FIELDS } from "@timespan/telemetry/mask-payload";
import { z } from "zod";

/** Settings of what is masked and capped, to be spread into the app's schema. */
export const guardSettings = {
  MASK_HASH_KEYS: list().describe(
    "Attributes whose values are replaced by a keyed hash, comma-separated: `user.id`, or `user.*` for all below.",
  ),
  MASK_DROP_KEYS: list().describe("Attributes that are left out, comma-separated: `password`, `patient.*`."),
  MASK_HASH_SECRET: z
    .string()
    .optional()
    .describe("Secret of the hashes, required with `MASK_HASH_KEYS`; with another one, hashes are others."),
  ENDPOINTS_PER_SERVICE_MAX: wholeNumber(ENDPOINTS_PER_SERVICE_MAX_DEFAULT, 1, 10_000).describe(
    "Endpoints of a service that are counted by name; further ones are counted as `other`.",
  ),
  LOG_PATTERNS_PER_SERVICE_MAX: wholeNumber(LOG_PATTERNS_PER_SERVICE_MAX_DEFAULT, 1, 10_000).describe(
    "Patterns of a service's logs that are counted one by one; further ones are counted as `other`.",
  ),
};

export type GuardSettings = z.infer<z.ZodObject<typeof guardSettings>>;

/** A shorter secret can be found by trying, and with it every value that was hashed. */
const SECRET_CHARACTERS_MIN = 16;

/**
 * What the settings ask for, as plain values.
 * @throws {SettingsError} where they do not fit together
 */
export function guardOptions(settings: GuardSettings): GuardOptions {
  const { MASK_HASH_KEYS: hashKeys, MASK_DROP_KEYS: dropKeys, MASK_HASH_SECRET: hashSecret } = settings;
  const problems: string[] = [];
  for (const [name, keys] of Object.entries({ MASK_HASH_KEYS: hashKeys, MASK_DROP_KEYS: dropKeys })) {
    if (keys.length > MASK_KEYS_MAX) problems.push(`${name} has more than ${MASK_KEYS_MAX} keys`);
    for (const key of keys) {
      const problem = maskKeyProblem(key);
      if (problem !== undefined) problems.push(`${name}: ${key} ${problem}`);
    }
  }
  const dropped = new Set(dropKeys.map((key) => key.toLowerCase()));
  for (const key of hashKeys.filter((each) => dropped.has(each.toLowerCase()))) {
    problems.push(`${key} is in both MASK_HASH_KEYS and MASK_DROP_KEYS`);
  }
  if (hashKeys.length > 0 && hashSecret === undefined) {
    problems.push("MASK_HASH_SECRET is required with MASK_HASH_KEYS");
  }
  if (problems.length > 0) throw new SettingsError(problems);
  return {
    hashKeys: distinct(hashKeys),
    dropKeys: distinct(dropKeys),
    hashSecret,
    endpointsPerServiceMax: settings.ENDPOINTS_PER_SERVICE_MAX,
    logPatternsPerServiceMax: settings.LOG_PATTERNS_PER_SERVICE_MAX,
  };
}

/** What an operator should know of settings that are valid but may not do what was meant. */
export function guardWarnings({ hashKeys, dropKeys, hashSecret }: GuardOptions): string[] {
  const fields = [...hashKeys, ...dropKeys].filter((key) => CONTRACT_FIELDS.has(key.toLowerCase()));
  return [
    ...fields.map(
      (key) => `masking ${key}: only a label of that name is masked, the event's own field is not`,
    ),
    ...(hashKeys.length > 0 && (hashSecret ?? "").length < SECRET_CHARACTERS_MIN
      ? [`MASK_HASH_SECRET has fewer than ${SECRET_CHARACTERS_MIN} characters: it can be found by trying`]
      : []),
  ];
}

function distinct(keys: readonly string[]): string[] {
  return [...new Map(keys.map((key) => [key.toLowerCase(), key])).values()];
}

/** The guards of one thread. Where a registry is given, it tells what they do. */
export function createGuards(options: GuardOptions, hooks: GuardHooks, registry?: Registry): CountingGuards {
  const guards = createCountingGuards(options, hooks);
  if (registry !== undefined) countGuards(guards, registry);
  return guards;
}

/** The guards count by themselves, as a counter's own cost would be paid for every value; it is read when asked. */
function countGuards({ counts }: CountingGuards, registry: Registry): void {
  const registers = [registry];
  const masked = new Counter({
    name: "timespan_ingest_masked_values_total",
    help: "Values of attributes that were hashed or dropped, by configured key.",
    labelNames: ["key", "action"],
    registers,
    collect() {
      masked.reset();
      for (const { key, action, count } of counts.masked) masked.inc({ key, action }, count);
    },
  });
  const endpoints = new Counter({
    name: "timespan_ingest_other_endpoints_total",
    help: "Spans counted under `other`, because their service had too many endpoints.",
    registers,
    collect() {
      endpoints.reset();
      endpoints.inc(counts.otherEndpoints);
    },
  });
  const logPatterns = new Counter({
    name: "timespan_ingest_other_log_patterns_total",
    help: "Logs counted under `other`, because their service had too many patterns.",
    registers,
    collect() {
      logPatterns.reset();
      logPatterns.inc(counts.otherLogPatterns);
    },
  });
  const withheld = new Counter({
    name: "timespan_ingest_withheld_payloads_total",
    help: "Payloads of dead letters that were not kept, because masking is on and they could not be parsed.",
    registers,
    collect() {
      withheld.reset();
      withheld.inc(counts.withheldPayloads);
    },
  });
}
