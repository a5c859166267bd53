/** Against Redis servers of its own: they are killed, stopped and silent in here. */
import { afterEach, describe, expect, spyOn, test } from "bun:test";
import { createServer, type Server, type Socket } from "node:net";
import { findFreePort } from "@timespan/local-stack/free-port";
import { systemClock } from "@timespan/runtime/clock";
import { createLogger } from "@timespan/runtime/logger";
import { eventually } from "@timespan/testing/run-app";
import { type AnswerRequest, CACHED_BYTES_MAX, cacheKey, createAnswerCache } from "../src/answer-cache.ts";
import { pingCache } from "../src/ping-cache.ts";
import { openRedisStore, type RedisStore } from "../src/redis-store.ts";

const HOST = "127.0.0.1";
const TTL_MS = 60_000;
const redisServer = Bun.which("redis-server");
const logger = createLogger("cache tests", "silent");
const releases: (() => unknown)[] = [];
afterEach(async () => {
  for (const release of releases.splice(0).reverse()) await release();
});

async function startRedis(port: number) {
  const child = Bun.spawn([redisServer ?? "", "--port", String(port), "--bind", HOST, "--save", ""], {
    stdout: "ignore",
    stderr: "ignore",
  });
  releases.push(() => child.kill("SIGKILL"));
  await eventually(
    () =>
      pingCache({ host: HOST, port }).then(
        () => true,
        () => false,
      ),
    { what: "Redis to answer" },
  );
  return child;
}

/** The cache of one process, with a clock that can be put forward. */
function openCache(port: number) {
  const store = openRedisStore(
    { host: HOST, port, username: undefined, password: undefined, tls: undefined },
    logger,
  );
  releases.push(() => store.close());
  let skippedMs = 0;
  const tooLarge: string[] = [];
  const cache = createAnswerCache({
    store,
    clock: { ...systemClock, nowMs: () => systemClock.nowMs() + skippedMs },
    logger,
    onOutcome: () => {},
    onTooLarge: () => tooLarge.push("once"),
  });
  let loads = 0;
  const request = (key: string, load?: AnswerRequest["load"]): AnswerRequest => ({
    key,
    ttlMs: TTL_MS,
    signal: new AbortController().signal,
    load: async (signal) => {
      loads++;
      return load === undefined ? `answer ${loads}` : load(signal);
    },
  });
  return {
    store,
    tooLarge,
    loads: () => loads,
    skip(ms: number) {
      skippedMs += ms;
    },
    ask: (key: string, load?: AnswerRequest["load"]) => cache.answer(request(key, load)),
    askUntil: (key: string, signal: AbortSignal, load: AnswerRequest["load"]) =>
      cache.answer({ ...request(key, load), signal }),
  };
}

const connected = (store: RedisStore) =>
  eventually(async () => (await store.get("nothing")) === null, { what: "the store to be connected" });
const newKey = () => cacheKey("test", "question", crypto.randomUUID());

describe.skipIf(redisServer === null)("answers kept in Redis", () => {
  test("are computed once, then come from the cache, with the same entity tag", async () => {
    const port = await findFreePort();
    await startRedis(port);
    const one = openCache(port);
    await connected(one.store);
    const key = newKey();
    const first = await one.ask(key);
    const again = await one.ask(key);
    expect([first.outcome, again.outcome, one.loads()]).toEqual(["miss", "hit", 1]);
    expect(again).toEqual({ ...first, outcome: "hit" });
    // Another process finds it too.
    const two = openCache(port);
    await connected(two.store);
    expect(await two.ask(key)).toEqual({ ...first, outcome: "hit" });
    expect((await two.ask(newKey(), async () => "another")).etag).not.toBe(first.etag);
  });

  test("of many who ask at once are computed once, in all processes together", async () => {
    const port = await findFreePort();
    await startRedis(port);
    const caches = [openCache(port), openCache(port), openCache(port)];
    for (const { store } of caches) await connected(store);
    const key = newKey();
    const slow = () => systemClock.sleep(200).then(() => "slow");
    const answers = await Promise.all(
      caches.flatMap(({ ask }) => Array.from({ length: 20 }, () => ask(key, slow))),
    );
    expect(caches.map(({ loads }) => loads()).reduce((sum, n) => sum + n)).toBe(1);
    expect(answers.filter(({ outcome }) => outcome === "miss")).toHaveLength(1);
    expect(new Set(answers.map(({ body }) => body))).toEqual(new Set(["slow"]));
  });

  test("that are past their time are given out once more while they are renewed", async () => {
    const port = await findFreePort();
    await startRedis(port);
    const one = openCache(port);
    await connected(one.store);
    const key = newKey();
    await one.ask(key);
    one.skip(TTL_MS);
    const stale = await Promise.all(Array.from({ length: 20 }, () => one.ask(key)));
    expect(new Set(stale.map(({ body, outcome }) => `${outcome} ${body}`))).toEqual(
      new Set(["stale answer 1"]),
    );
    await eventually(async () => (await one.ask(key)).outcome === "hit", { what: "the renewed answer" });
    expect(await one.ask(key)).toMatchObject({ outcome: "hit", body: "answer 2" });
    expect(one.loads()).toBe(2);
  });

  test("that could not be computed are an error for who asked, and no one waits for the lock of it", async () => {
    const port = await findFreePort();
    await startRedis(port);
    const one = openCache(port);
    await connected(one.store);
    const key = newKey();
    await expect(one.ask(key, () => Promise.reject(new Error("the database is away")))).rejects.toThrow(
      "away",
    );
    expect(await one.ask(key)).toMatchObject({ outcome: "miss", body: "answer 2" });
    // One that fails while it is renewed leaves the last version.
    one.skip(TTL_MS);
    expect(await one.ask(key, () => Promise.reject(new Error("no")))).toMatchObject({ body: "answer 2" });
    expect(await one.ask(key)).toMatchObject({ outcome: "stale", body: "answer 2" });
  });

  test("stop being computed when nobody waits for them any more", async () => {
    const port = await findFreePort();
    await startRedis(port);
    const one = openCache(port);
    await connected(one.store);
    const key = newKey();
    const gone = new AbortController();
    const told = Promise.withResolvers<unknown>();
    const asked = one.askUntil(
      key,
      gone.signal,
      (signal) =>
        new Promise((_, reject) => {
          signal.addEventListener("abort", () => {
            told.resolve(signal.reason);
            reject(signal.reason);
          });
          gone.abort("gone");
        }),
    );
    await expect(asked).rejects.toBe("gone");
    expect(await told.promise).toBe("gone");
    expect(await one.ask(key)).toMatchObject({ outcome: "miss" });
  });

  test("that are too large are not kept", async () => {
    const port = await findFreePort();
    await startRedis(port);
    const one = openCache(port);
    await connected(one.store);
    const key = newKey();
    const large = () => Promise.resolve("ü".repeat(CACHED_BYTES_MAX / 2));
    expect((await one.ask(key, large)).outcome).toBe("miss");
    expect((await one.ask(key, large)).outcome).toBe("miss");
    expect(one.tooLarge).toHaveLength(2);
  });

  test("that somebody else wrote are not taken for ours", async () => {
    const port = await findFreePort();
    await startRedis(port);
    const one = openCache(port);
    await connected(one.store);
    for (const text of ["", "{}", "\n", '5 "short"\n{}', '[{"old":"format"}]']) {
      const key = newKey();
      await one.store.set(key, text, TTL_MS);
      expect((await one.ask(key)).body).toStartWith("answer");
    }
  });

  test("a Redis that dies costs nothing but its answers, and is used again when it is back", async () => {
    const port = await findFreePort();
    const redis = await startRedis(port);
    const one = openCache(port);
    await connected(one.store);
    const key = newKey();
    await one.ask(key);
    redis.kill("SIGKILL");
    await redis.exited;
    for (let n = 0; n < 20; n++) expect((await one.ask(key)).body).toStartWith("answer");
    expect(await one.ask(key)).toMatchObject({ outcome: "bypass" });
    await startRedis(port);
    await eventually(async () => (await one.ask(key)).outcome === "hit", { what: "the cache to work again" });
  });

  test("a Redis that stops answering is waited for once, then left alone, then used again", async () => {
    const port = await findFreePort();
    const redis = await startRedis(port);
    const one = openCache(port);
    await connected(one.store);
    const key = newKey();
    await one.ask(key);
    redis.kill("SIGSTOP");
    const warned = spyOn(logger, "warn");
    for (let n = 0; n < 20; n++) {
      const before = one.loads();
      expect(await one.ask(newKey())).toMatchObject({ outcome: "bypass" });
      expect(one.loads()).toBe(before + 1);
    }
    expect(warned.mock.calls.map(([, text]) => text)).toEqual([
      "Redis did not answer in time: it is left alone for a while",
    ]);
    warned.mockRestore();
    redis.kill("SIGCONT");
    await eventually(async () => (await one.ask(key)).outcome === "hit", { what: "the cache to work again" });
  });

  test("a server that accepts and never says a word is never waited for", async () => {
    const sockets: Socket[] = [];
    const silent: Server = createServer((socket) => void sockets.push(socket));
    await new Promise<void>((resolve) => silent.listen(0, HOST, resolve));
    releases.push(() => {
      for (const socket of sockets) socket.destroy();
      silent.close();
    });
    const address = silent.address();
    const one = openCache(typeof address === "object" ? (address?.port ?? 0) : 0);
    await eventually(() => sockets.length > 0, { what: "a connection" });
    for (let n = 0; n < 20; n++) expect(await one.ask(newKey())).toMatchObject({ outcome: "bypass" });
  });

  test("without a Redis, what is asked at the same time is still computed once", async () => {
    const one = openCache(await findFreePort());
    const key = newKey();
    const answers = await Promise.all(Array.from({ length: 20 }, () => one.ask(key)));
    expect(one.loads()).toBe(1);
    expect(answers.map(({ outcome }) => outcome).sort()).toEqual(["bypass", ...Array(19).fill("shared")]);
  });
});
