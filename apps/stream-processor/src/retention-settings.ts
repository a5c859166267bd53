import { duration, type Environment, parseDuration, SettingsError } from "@timespan/runtime/settings";
import type { EnvironmentRetention, StorageSettings } from "@timespan/store/storage/save-storage-settings";
import { environmentName } from "@timespan/telemetry/environment-name";
import type { z } from "zod";

const HOUR_MS = 3_600_000;
/** Refreshes of rollups end this long before raw rows do, and an hour is the largest bucket; see `maintain_rollups`. */
const REFRESH_MARGIN_MS = 2 * HOUR_MS;
/** Environments with a retention of their own: each is one more condition on rows that come late. */
const ENVIRONMENT_RETENTIONS_MAX = 20;

const OF_ENVIRONMENT = /^RETENTION_(SPANS|LOGS)_(\w+)$/;

/** How long things are kept. */
export const retentionSettings = {
  RETENTION_SPANS: duration("7d").describe(
    "How long spans are kept. Older ones are not accepted. RETENTION_SPANS_DEVELOPMENT=3d, with any environment's name, keeps those of one environment for less.",
  ),
  RETENTION_LOGS: duration("7d").describe(
    "How long logs are kept. Older ones are not accepted. RETENTION_LOGS_DEVELOPMENT=3d, with any environment's name, keeps those of one environment for less.",
  ),
  RETENTION_ROLLUP_1M: duration("30d").describe(
    "How long rollups by the minute are kept on TimescaleDB. Plain PostgreSQL computes rollups from the rows it has.",
  ),
  RETENTION_ROLLUP_1H: duration("400d").describe(
    "How long rollups by the hour and by ten minutes are kept on TimescaleDB.",
  ),
  RETENTION_DEAD_LETTERS: duration("30d").describe("How long dead letters are kept."),
  LATE_AFTER: duration("30m").describe(
    "Rows older than this when they arrive are staged and moved within a minute, so that rollups are refreshed once for many of them.",
  ),
  CHUNK_INTERVAL: duration("6h").describe(
    "Time covered by one chunk on TimescaleDB: 6h up to 2,000 rows/s, 1h up to 10,000, 15m at 50,000.",
  ),
  ROLLUP_REFRESH_INTERVAL: duration("30s").describe(
    "How often rollups are brought up to date on TimescaleDB; what came since is computed when asked.",
  ),
  ROLLUP_REFRESH_DELAY: duration("2m").describe(
    "Age at which a minute goes into the rollups. Later spans of it have it computed again, so most should be there by then.",
  ),
};

type Given = z.infer<z.ZodObject<typeof retentionSettings>>;

/**
 * The storage that the settings ask for.
 * @throws {SettingsError} with a sentence for each retention that would take away what something else needs
 */
export function storageSettings(given: Given, env: Environment): StorageSettings {
  const { retentionByEnvironment, problems } = environmentRetentions(env);
  const signals = { spans: given.RETENTION_SPANS, logs: given.RETENTION_LOGS };
  const refreshMs = Math.max(given.LATE_AFTER, given.ROLLUP_REFRESH_DELAY) + REFRESH_MARGIN_MS;
  const raw = [
    { name: "RETENTION_SPANS", retentionMs: signals.spans },
    { name: "RETENTION_LOGS", retentionMs: signals.logs },
    ...retentionByEnvironment,
  ];
  for (const { name, retentionMs } of raw) {
    if (retentionMs < refreshMs) {
      problems.push(
        `${name} lies inside the window in which rollups are refreshed from these rows: a refresh after they are gone would empty the rollups. It must be at least ${Math.ceil(refreshMs / 60_000)}m (LATE_AFTER or ROLLUP_REFRESH_DELAY, and two hours)`,
      );
    }
  }
  for (const { name, signal, retentionMs } of retentionByEnvironment) {
    if (retentionMs >= signals[signal]) {
      problems.push(
        `${name} must be shorter than RETENTION_${signal.toUpperCase()}, which drops the rows of all environments`,
      );
    }
  }
  if (given.RETENTION_ROLLUP_1M < Math.max(signals.spans, signals.logs)) {
    problems.push(
      "RETENTION_ROLLUP_1M must be at least RETENTION_SPANS and RETENTION_LOGS: hours are built from minutes for as long as rows can come late",
    );
  }
  if (given.RETENTION_ROLLUP_1H < given.RETENTION_ROLLUP_1M) {
    problems.push(
      "RETENTION_ROLLUP_1H must be at least RETENTION_ROLLUP_1M: hours take over where minutes end",
    );
  }
  if (problems.length > 0) throw new SettingsError(problems);
  return {
    retentionSpansMs: signals.spans,
    retentionLogsMs: signals.logs,
    retentionRollup1mMs: given.RETENTION_ROLLUP_1M,
    retentionRollup1hMs: given.RETENTION_ROLLUP_1H,
    retentionDeadLettersMs: given.RETENTION_DEAD_LETTERS,
    retentionByEnvironment,
    chunkIntervalMs: given.CHUNK_INTERVAL,
  };
}

/** Variables whose names hold an environment, so that no schema can list them. */
function environmentRetentions(env: Environment): {
  retentionByEnvironment: (EnvironmentRetention & { name: string })[];
  problems: string[];
} {
  const problems: string[] = [];
  const retentionByEnvironment = Object.entries(env).flatMap(([name, value = ""]) => {
    const [, signal, environment = ""] = OF_ENVIRONMENT.exec(name) ?? [];
    if (signal === undefined || value.trim() === "") return [];
    const retentionMs = parseDuration(value);
    if (retentionMs === undefined) {
      problems.push(`${name} must be a length of time such as 90s, 15m, 6h or 7d`);
      return [];
    }
    return [
      {
        name,
        signal: signal === "SPANS" ? ("spans" as const) : ("logs" as const),
        environmentKey: environmentName(environment.toLowerCase()),
        retentionMs,
      },
    ];
  });
  const keys = retentionByEnvironment.map(({ signal, environmentKey }) => `${signal} ${environmentKey}`);
  for (const { name, signal, environmentKey } of retentionByEnvironment.filter(
    (_, index) => keys.indexOf(keys[index] ?? "") !== index,
  )) {
    problems.push(`${name} sets the retention of ${signal} of ${environmentKey} for the second time`);
  }
  if (retentionByEnvironment.length > ENVIRONMENT_RETENTIONS_MAX) {
    problems.push(`at most ${ENVIRONMENT_RETENTIONS_MAX} environments can have a retention of their own`);
  }
  return { retentionByEnvironment, problems };
}
