import { Redis } from "ioredis";

const PING_TIMEOUT_MS = 2_000;

/**
 * Sends one PING, with no retries.
 * @throws ioredis' error when nothing answers
 */
export async function pingCache(address: { host: string; port: number }): Promise<void> {
  const redis = new Redis({
    ...address,
    lazyConnect: true,
    connectTimeout: PING_TIMEOUT_MS,
    commandTimeout: PING_TIMEOUT_MS,
    retryStrategy: () => null,
  });
  // Without a listener ioredis prints each failed connection; the rejection below tells it already.
  redis.on("error", () => {});
  try {
    await redis.connect();
    await redis.ping();
  } finally {
    redis.disconnect();
  }
}
