import { openRedisStore } from "@timespan/cache/redis-store";
import { systemClock } from "@timespan/runtime/clock";
import { Lifecycle } from "@timespan/runtime/lifecycle";
import { createLogger } from "@timespan/runtime/logger";
import { createRegistry } from "@timespan/runtime/metrics";
import { orExit } from "@timespan/runtime/settings";
import { createKeyVerifier } from "@timespan/store/api-keys/key-verifier";
import { closeDatabase, openDatabase } from "@timespan/store/database";
import { createApp, type KeySettings } from "./app.ts";
import { readConfig } from "./config.ts";
import { problemResponse } from "./problem.ts";

/** Bun's longest; its default of ten seconds would cut connections whose query is still running. */
const IDLE_TIMEOUT_SECONDS = 255;
/** Every route is a GET: a body is nothing we read. */
const REQUEST_BODY_BYTES_MAX = 1_024;
const KEY_POOL_MAX = 2;
const KEY_LOOKUP_TIMEOUT_MS = 2_000;

const config = orExit(readConfig);
const logger = createLogger("query-api", config.logLevel);
const lifecycle = new Lifecycle(logger);
lifecycle.stopOnSignals();
for (const warning of config.warnings) logger.warn(warning);

try {
  const database = openDatabase({
    url: config.databaseUrl,
    role: "timespan_reader",
    applicationName: "timespan-query-api",
    poolMax: config.databasePoolMax,
    statementTimeoutMs: config.queryTimeoutMs,
    readOnly: true,
  });
  lifecycle.onStop("database", () => closeDatabase(database));
  const redis = config.redis === undefined ? undefined : openRedisStore(config.redis, logger);
  if (redis !== undefined) lifecycle.onStop("redis", () => redis.close());
  const keys = config.authRequired ? openKeys() : undefined;

  const app = createApp({
    database,
    keys,
    redis,
    clock: systemClock,
    logger,
    registry: createRegistry("query-api"),
    queryTimeoutMs: config.queryTimeoutMs,
    corsAllowedOrigins: config.corsAllowedOrigins,
    ingestLagMaxSeconds: config.ingestLagMaxSeconds,
    metrics: config.metrics,
  });
  const server = Bun.serve({
    ...config.http,
    idleTimeout: IDLE_TIMEOUT_SECONDS,
    maxRequestBodySize: REQUEST_BODY_BYTES_MAX,
    development: false,
    fetch: app.fetch,
    error(err) {
      logger.error({ err }, "a request failed outside the app");
      return problemResponse("internal_error", "Something went wrong here. It was logged.");
    },
  });
  // Takes no new connection, and resolves once the requests under way are answered.
  lifecycle.onStop("http server", () => server.stop());
  logger.info({ url: server.url.href, auth: config.authRequired ? "required" : "off" }, "query-api started");
} catch (err) {
  lifecycle.failWith(err);
}

/** Keys have connections of their own, so that slow queries never keep anybody waiting to be let in. */
function openKeys(): KeySettings {
  const database = openDatabase({
    url: config.databaseUrl,
    role: "timespan_reader",
    applicationName: "timespan-query-api-keys",
    poolMax: KEY_POOL_MAX,
    statementTimeoutMs: KEY_LOOKUP_TIMEOUT_MS,
  });
  lifecycle.onStop("database of keys", () => closeDatabase(database));
  return {
    verify: createKeyVerifier(database, systemClock, (err) =>
      logger.warn({ err }, "the last use of an API key was not written down"),
    ),
    requestsPerMinute: config.requestsPerMinute,
  };
}
