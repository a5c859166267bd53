import type { Clock } from "@timespan/runtime/clock";
import type { MiddlewareHandler } from "hono";
import type { ApiEnv } from "./api-env.ts";
import { problemResponse } from "./problem.ts";

/** Keys whose use is remembered; beyond it the one used longest ago begins anew. */
export const RATE_LIMITED_KEYS_MAX = 10_000;

const MS_PER_MINUTE = 60_000;

/** What one key may still do. */
interface Bucket {
  tokens: number;
  atMs: number;
}

/**
 * A token bucket for each API key: it holds `perMinute` requests and fills again evenly, so a page that opens many
 * panels at once gets through, and a program that never stops gets `perMinute`. Each process counts by itself.
 */
export function limitRate(
  clock: Clock,
  perMinute: number,
  onTurnedAway: () => void,
): MiddlewareHandler<ApiEnv> {
  const buckets = new Map<number, Bucket>();
  const tokensPerMs = perMinute / MS_PER_MINUTE;

  return async (c, next) => {
    const key = c.get("key");
    if (key === undefined) return next();
    const tokens = fill(key.id);
    const granted = tokens >= 1;
    const left = granted ? tokens - 1 : tokens;
    buckets.set(key.id, { tokens: left, atMs: clock.nowMs() });
    if (granted) await next();
    else {
      onTurnedAway();
      const waitSeconds = Math.ceil((1 - left) / tokensPerMs / 1_000);
      c.res = problemResponse("rate_limited", `This API key may ask ${perMinute} times a minute.`, {
        headers: { "retry-after": String(waitSeconds) },
      });
    }
    // draft-ietf-httpapi-ratelimit-headers-10: what is left, and in how many seconds all of it is there again.
    const fullSeconds = Math.ceil((perMinute - left) / tokensPerMs / 1_000);
    c.res.headers.set("ratelimit-policy", `"key";q=${perMinute};w=60`);
    c.res.headers.set("ratelimit", `"key";r=${Math.floor(left)};t=${fullSeconds}`);
  };

  /** Takes the bucket out of the table, to be put back as the one used last. */
  function fill(id: number): number {
    const bucket = buckets.get(id);
    buckets.delete(id);
    for (const oldest of buckets.keys()) {
      if (buckets.size < RATE_LIMITED_KEYS_MAX) break;
      buckets.delete(oldest);
    }
    if (bucket === undefined) return perMinute;
    return Math.min(perMinute, bucket.tokens + (clock.nowMs() - bucket.atMs) * tokensPerMs);
  }
}
