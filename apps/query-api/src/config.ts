import { type RedisConnection, redisConnection, redisSettings } from "@timespan/cache/redis-settings";
import { AUTH_OFF_WARNING, authSetting, isAuthRequired, isLoopback } from "@timespan/runtime/auth-setting";
import { flag, list, port, readSettings, replacedVariables, wholeNumber } from "@timespan/runtime/settings";
import { z } from "zod";
import type { MetricSettings } from "./metric-request.ts";

/** An origin as browsers send it: scheme, host and port, nothing behind. */
function isOrigin(text: string): boolean {
  return text === "*" || (URL.canParse(text) && new URL(text).origin === text);
}

const cachePrefix = (fallback: string) =>
  z
    .string()
    .regex(/^[\w:.-]{1,100}$/, "must be letters, digits, and : . - _, at most 100")
    .default(fallback);

/** Every setting of the query-api: name, default, limits and meaning. */
export const settings = z.object({
  HOST: z.string().default("127.0.0.1").describe("Address to listen on."),
  PORT: port(3001).describe("Port to listen on."),
  AUTH: authSetting,
  RATE_LIMIT_PER_MINUTE: wholeNumber(1_200, 0, 1_000_000).describe(
    "Requests that one API key may make in a minute, in one instance; 0 for any number.",
  ),
  DATABASE_URL: z
    .string()
    .regex(/^postgres(ql)?:\/\//, "must be a URL such as postgres://user:password@host:5432/database")
    .describe("Where the database is, of a user that may act as timespan_reader."),
  DATABASE_POOL_MAX: wholeNumber(10, 1, 1_000).describe("Most connections to the database at once."),
  QUERY_TIMEOUT_MS: wholeNumber(15_000, 100, 600_000).describe(
    "Milliseconds that one statement may take before the database cancels it. Metrics have two thirds of it, a trace one third.",
  ),
  CORS_ALLOWED_ORIGINS: list()
    .refine((origins) => origins.every(isOrigin), "must be origins such as https://apm.example.org, or *")
    .describe("Origins of web pages that may read the API, comma-separated; `*` for any. None when not set."),
  SERVICE_METRICS_DEFAULT_WINDOW_MINUTES: wholeNumber(15, 1, 1_440).describe(
    "Minutes of metrics that are shown where a request names no window.",
  ),
  METRICS_QUANTIZATION_SECONDS: wholeNumber(10, 1, 300).describe(
    "Windows of metrics that end now end at a whole number of these seconds.",
  ),
  ROLLUP_ENABLED: flag(true).describe(
    "Whether metrics are read from rollups. The numbers are the same without, from raw spans, and slower.",
  ),
  ROLLUP_THRESHOLD_MINUTES: wholeNumber(5, 0, 1_440).describe(
    "Windows of metrics up to this many minutes are read from raw spans.",
  ),
  ...redisSettings,
  METRICS_CACHE_PREFIX: cachePrefix("apm:metrics:v1").describe(
    "What the keys of answers about metrics begin with in Redis.",
  ),
  METRICS_CACHE_TTL_SECONDS: wholeNumber(20, 1, 3_600).describe(
    "Seconds for which an answer about metrics counts as fresh; it is given out once more after them, while it is renewed.",
  ),
  ROLLUP_CACHE_PREFIX: cachePrefix("apm:metrics-rollup").describe(
    "The same for windows long enough for rollups.",
  ),
  ROLLUP_CACHE_TTL_SECONDS: wholeNumber(60, 1, 3_600).describe(
    "The same for windows long enough for rollups.",
  ),
  INGEST_LAG_MAX_SECONDS: wholeNumber(60, 1, 86_400).describe(
    "Seconds that stored data may be behind Kafka before /ready says so.",
  ),
  LOG_LEVEL: z
    .enum(["debug", "info", "warn", "error"])
    .default("info")
    .describe("Least severe line that is logged."),
});

export interface QueryApiConfig {
  http: { hostname: string; port: number };
  authRequired: boolean;
  /** Undefined for any number. */
  requestsPerMinute: number | undefined;
  databaseUrl: string;
  databasePoolMax: number;
  queryTimeoutMs: number;
  corsAllowedOrigins: readonly string[];
  ingestLagMaxSeconds: number;
  metrics: MetricSettings;
  redis: RedisConnection | undefined;
  logLevel: string;
  warnings: string[];
}

/** @throws {SettingsError} with every problem */
export function readConfig(env: Record<string, string | undefined> = process.env): QueryApiConfig {
  const given = readSettings(settings, env);
  const authRequired = isAuthRequired(given.AUTH, given.HOST);
  const isOpen = !authRequired && !isLoopback(given.HOST);
  return {
    http: { hostname: given.HOST, port: given.PORT },
    authRequired,
    requestsPerMinute: given.RATE_LIMIT_PER_MINUTE === 0 ? undefined : given.RATE_LIMIT_PER_MINUTE,
    databaseUrl: given.DATABASE_URL,
    databasePoolMax: given.DATABASE_POOL_MAX,
    queryTimeoutMs: given.QUERY_TIMEOUT_MS,
    corsAllowedOrigins: given.CORS_ALLOWED_ORIGINS,
    ingestLagMaxSeconds: given.INGEST_LAG_MAX_SECONDS,
    metrics: {
      quantizationMs: given.METRICS_QUANTIZATION_SECONDS * 1_000,
      defaultWindowMs: given.SERVICE_METRICS_DEFAULT_WINDOW_MINUTES * 60_000,
      rollups: { enabled: given.ROLLUP_ENABLED, thresholdMs: given.ROLLUP_THRESHOLD_MINUTES * 60_000 },
      kept: {
        rollups: { prefix: given.ROLLUP_CACHE_PREFIX, ttlMs: given.ROLLUP_CACHE_TTL_SECONDS * 1_000 },
        others: { prefix: given.METRICS_CACHE_PREFIX, ttlMs: given.METRICS_CACHE_TTL_SECONDS * 1_000 },
      },
    },
    redis: redisConnection(given),
    logLevel: given.LOG_LEVEL,
    warnings: [...replacedVariables(env), ...(isOpen ? [AUTH_OFF_WARNING] : [])],
  };
}
