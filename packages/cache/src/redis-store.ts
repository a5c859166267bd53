import { createCircuitBreaker } from "@timespan/runtime/circuit-breaker";
import type { Logger } from "@timespan/runtime/logger";
import { Redis } from "ioredis";
import type { RedisConnection } from "./redis-settings.ts";

/** What a Redis that is slow or silent costs: one command, so long; then it is left alone for a pause. */
export const COMMAND_TIMEOUT_MS = 50;
const PAUSE_MS = { initialMs: 1_000, maxMs: 30_000 };
const CONNECT_TIMEOUT_MS = 2_000;
const RECONNECT_MS_MAX = 5_000;

/** Redis as far as a cache needs it: every command may fail, and then gives undefined within 50 ms. */
export interface RedisStore {
  /** The text of `key`, or null where there is none. */
  get(key: string): Promise<string | null | undefined>;
  /** Keeps `value` for `ms`. */
  set(key: string, value: string, ms: number): Promise<true | undefined>;
  /** Whether `key` was free and is now taken for `ms`. */
  take(key: string, ms: number): Promise<boolean | undefined>;
  free(key: string): Promise<true | undefined>;
  close(): void;
}

/** Connects in the background and again whenever the connection is lost; never fails, never waits for it. */
export function openRedisStore(connection: RedisConnection, logger: Logger): RedisStore {
  const { host, port, username, password, tls } = connection;
  const redis = new Redis({
    host,
    port,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(tls === undefined ? {} : { tls }),
    connectionName: "timespan-query-api",
    connectTimeout: CONNECT_TIMEOUT_MS,
    commandTimeout: COMMAND_TIMEOUT_MS,
    // A command is for the request that waits for it, not for later.
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    retryStrategy: (attempt) => Math.min(attempt * 200, RECONNECT_MS_MAX),
  });
  let reachable = true;
  redis.on("error", (err) => {
    if (reachable) logger.warn({ err }, "Redis cannot be reached: answers are computed, none is cached");
    reachable = false;
  });
  redis.on("ready", () => {
    if (!reachable) logger.info("Redis is back");
    reachable = true;
  });
  const breaker = createCircuitBreaker(PAUSE_MS, {
    onOpen: (err) => logger.warn({ err }, "Redis did not answer in time: it is left alone for a while"),
    onClose: () => logger.info("Redis answers in time again"),
  });
  // Without a connection there is nothing to wait for, and nothing to learn.
  const run = async <T>(work: () => Promise<T>): Promise<T | undefined> =>
    redis.status === "ready" ? breaker.run(work) : undefined;

  return {
    get: (key) => run(() => redis.get(key)),
    set: (key, value, ms) => run(async () => (await redis.set(key, value, "PX", ms)) === "OK" || undefined),
    take: (key, ms) => run(async () => (await redis.set(key, "1", "PX", ms, "NX")) === "OK"),
    free: (key) => run(async () => (await redis.del(key)) >= 0 || undefined),
    close: () => redis.disconnect(),
  };
}
