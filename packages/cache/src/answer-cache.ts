import { createHash } from "node:crypto";
import { type Clock, withTimeout } from "@timespan/runtime/clock";
import type { Logger } from "@timespan/runtime/logger";
import type { RedisStore } from "./redis-store.ts";
import { createSharedWork } from "./shared-work.ts";

/** A longer answer is not kept: it would push out many that are asked for more often. */
export const CACHED_BYTES_MAX = 1024 * 1024;
/** Answers that are being renewed at once while their last version is still given out. */
const RENEWALS_MAX = 10;
const RENEWAL_TIMEOUT_MS = 10_000;
/** A process that died while it computed is in nobody's way for longer. */
const LOCK_MS = 10_000;
/** How long another process may take to compute the answer before we do it too, and how often we look. */
const OTHERS_WAIT_MS = 1_000;
const OTHERS_LOOK_MS = 50;

/**
 * - `hit`: from the cache, and fresh. `stale`: from the cache, older than its time, and being renewed meanwhile.
 * - `miss`: computed. `shared`: computed once for several who asked at the same time, of whom this is not the first.
 * - `bypass`: computed, as there is no cache or it is out of order.
 */
export type CacheOutcome = "hit" | "stale" | "miss" | "shared" | "bypass";

/** An answer as it goes out. */
export interface CachedAnswer {
  body: string;
  /** Changes whenever the body does; a strong entity tag, with its quotes. */
  etag: string;
  /** Until when it counts as fresh, in milliseconds since the epoch. */
  freshUntilMs: number;
}

export interface AnswerRequest {
  key: string;
  /** How long the answer counts as fresh. It is kept, and given out while it is renewed, for as long again. */
  ttlMs: number;
  /** Of who asks. */
  signal: AbortSignal;
  /** Computes the answer. Its signal aborts when nobody waits for it any more. */
  load(signal: AbortSignal): Promise<string>;
}

export interface AnswerCache {
  /**
   * The answer to `key`, from the cache or computed, once for all who ask at the same time.
   * @throws what `load` throws; never for the cache's sake
   */
  answer(request: AnswerRequest): Promise<CachedAnswer & { outcome: CacheOutcome }>;
}

export interface AnswerCacheOptions {
  /** Absent: nothing is kept, but what is asked at the same time is still computed once. */
  store: RedisStore | undefined;
  clock: Clock;
  logger: Logger;
  onOutcome(outcome: CacheOutcome): void;
  onTooLarge(): void;
}

export function createAnswerCache(options: AnswerCacheOptions): AnswerCache {
  const { store, clock, logger, onOutcome, onTooLarge } = options;
  const computing = createSharedWork<{ answer: CachedAnswer; outcome: CacheOutcome }>();
  const renewing = new Set<string>();

  return {
    async answer(request) {
      const given = await give(request);
      onOutcome(given.outcome);
      return given;
    },
  };

  async function give(request: AnswerRequest): Promise<CachedAnswer & { outcome: CacheOutcome }> {
    const { key, signal } = request;
    const kept = await store?.get(key);
    const found = kept ? unpack(kept) : undefined;
    if (found !== undefined) {
      if (clock.nowMs() < found.freshUntilMs) return { ...found, outcome: "hit" };
      renew(request);
      return { ...found, outcome: "stale" };
    }
    const isShared = computing.has(key);
    const { answer, outcome } = await computing.join(key, signal, (all) =>
      computeOnce({ ...request, signal: all }, kept === null),
    );
    return { ...answer, outcome: isShared ? "shared" : outcome };
  }

  /** Of several processes that miss the same key, one computes; the others look for what it leaves in the cache. */
  async function computeOnce(
    request: AnswerRequest,
    works: boolean,
  ): Promise<{ answer: CachedAnswer; outcome: CacheOutcome }> {
    if (!works || store === undefined) return { answer: await compute(request), outcome: "bypass" };
    if ((await store.take(lockOf(request.key), LOCK_MS)) === false) {
      const theirs = await waitForOthers(store, request);
      if (theirs !== undefined) return { answer: theirs, outcome: "shared" };
    }
    return { answer: await computeAndKeep(store, request), outcome: "miss" };
  }

  async function waitForOthers(
    redis: RedisStore,
    { key, signal }: AnswerRequest,
  ): Promise<CachedAnswer | undefined> {
    const untilMs = clock.nowMs() + OTHERS_WAIT_MS;
    while (clock.nowMs() < untilMs && !signal.aborted) {
      await clock.sleep(OTHERS_LOOK_MS, signal);
      const kept = await redis.get(key);
      if (kept !== null) return kept === undefined ? undefined : unpack(kept);
      // They failed, or their answer is too large to be kept.
      if ((await redis.take(lockOf(key), LOCK_MS)) !== false) return undefined;
    }
    return undefined;
  }

  async function computeAndKeep(redis: RedisStore, request: AnswerRequest): Promise<CachedAnswer> {
    const { key, ttlMs } = request;
    try {
      const answer = await compute(request);
      const packed = pack(answer);
      if (Buffer.byteLength(packed) <= CACHED_BYTES_MAX) await redis.set(key, packed, 2 * ttlMs);
      else onTooLarge();
      return answer;
    } finally {
      await redis.free(lockOf(key));
    }
  }

  async function compute({ load, signal, ttlMs }: AnswerRequest): Promise<CachedAnswer> {
    const body = await load(signal);
    return { body, etag: etagOf(body), freshUntilMs: clock.nowMs() + ttlMs };
  }

  /** In the background: who asked has the last version already. */
  function renew(request: AnswerRequest): void {
    const { key } = request;
    if (store === undefined || renewing.size >= RENEWALS_MAX || renewing.has(key)) return;
    renewing.add(key);
    const end = new AbortController();
    withTimeout(renewAlone(store, request, end.signal), RENEWAL_TIMEOUT_MS, "it took too long")
      .catch((err) => logger.debug({ err }, "an answer in the cache was not renewed"))
      .finally(() => {
        renewing.delete(key);
        end.abort();
      });
  }

  async function renewAlone(redis: RedisStore, request: AnswerRequest, ends: AbortSignal): Promise<void> {
    const { key } = request;
    if ((await redis.take(lockOf(key), LOCK_MS)) !== true) return;
    await computing.join(key, ends, async (signal) => ({
      answer: await computeAndKeep(redis, { ...request, signal }),
      outcome: "miss",
    }));
  }
}

/** The key of a question: readable up to what is asked, then a hash of it. */
export function cacheKey(prefix: string, name: string, question: unknown): string {
  const hash = createHash("sha256").update(JSON.stringify(question)).digest("base64url");
  return `${prefix}:${name}:${hash}`;
}

function lockOf(key: string): string {
  return `${key}:computing`;
}

function etagOf(body: string): string {
  return `"${createHash("sha256").update(body).digest("base64url").slice(0, 22)}"`;
}

/** A line of what is known of the answer, then the answer. */
function pack({ body, etag, freshUntilMs }: CachedAnswer): string {
  return `${freshUntilMs} ${etag}\n${body}`;
}

/** Undefined where the text is not ours, such as of another version. */
function unpack(text: string): CachedAnswer | undefined {
  const end = text.indexOf("\n");
  const [, until, etag] = /^(\d{1,16}) ("[\w-]{22}")$/.exec(text.slice(0, Math.max(end, 0))) ?? [];
  if (until === undefined || etag === undefined) return undefined;
  return { body: text.slice(end + 1), etag, freshUntilMs: Number(until) };
}
