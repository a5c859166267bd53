import { describe, expect, test } from "bun:test";
import { createSharedWork } from "../src/shared-work.ts";

const signal = () => new AbortController().signal;

describe("work that several wait for", () => {
  test("is done once for all who ask meanwhile, and again for who asks later", async () => {
    const shared = createSharedWork<number>();
    const { promise, resolve } = Promise.withResolvers<number>();
    let begun = 0;
    const work = () => {
      begun++;
      return promise;
    };
    const all = Array.from({ length: 100 }, () => shared.join("a", signal(), work));
    expect(shared.has("a")).toBe(true);
    resolve(7);
    expect(await Promise.all(all)).toEqual(Array(100).fill(7));
    expect(begun).toBe(1);
    expect(shared.has("a")).toBe(false);
    await shared.join("a", signal(), work);
    expect(begun).toBe(2);
  });

  test("fails for all who wait, and is tried anew for who asks later", async () => {
    const shared = createSharedWork<number>();
    const fail = () => Promise.reject(new Error("no"));
    const both = await Promise.allSettled([
      shared.join("a", signal(), fail),
      shared.join("a", signal(), fail),
    ]);
    expect(both.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    expect(await shared.join("a", signal(), async () => 1)).toBe(1);
  });

  test("goes on while one of them waits, and is told to stop when the last is gone", async () => {
    const shared = createSharedWork<number>();
    let told: AbortSignal | undefined;
    const { promise, resolve } = Promise.withResolvers<number>();
    const work = (stop: AbortSignal) => {
      told = stop;
      return promise;
    };
    const [one, two] = [new AbortController(), new AbortController()];
    const first = shared.join("a", one.signal, work).catch((reason: unknown) => reason);
    const second = shared.join("a", two.signal, work).catch((reason: unknown) => reason);
    one.abort("one is gone");
    expect(await first).toBe("one is gone");
    expect(told?.aborted).toBe(false);
    two.abort("two is gone");
    expect(await second).toBe("two is gone");
    expect(told?.reason).toBe("two is gone");
    // What was stopped is no answer for who comes then.
    expect(await shared.join("a", signal(), async () => 2)).toBe(2);
    resolve(1);
  });

  test("is not begun for who is gone already", async () => {
    const shared = createSharedWork<number>();
    await expect(shared.join("a", AbortSignal.abort("gone"), async () => 1)).rejects.toBe("gone");
    expect(shared.has("a")).toBe(false);
  });
});
