import { expect, test } from "bun:test";
import { createBackoff } from "../src/backoff.ts";
import { systemClock, withTimeout } from "../src/clock.ts";
import { Lifecycle } from "../src/lifecycle.ts";
import { createLogger } from "../src/logger.ts";

/** A process that registers parts, stops on signals, and prints what happens. */
const PROGRAM = `
  import { Lifecycle } from "${import.meta.dir}/../src/lifecycle.ts";
  import { createLogger } from "${import.meta.dir}/../src/logger.ts";
  const lifecycle = new Lifecycle(createLogger("test", "silent"));
  lifecycle.stopOnSignals();
  lifecycle.onStop("first", () => console.log("released first"));
  lifecycle.onStop("slow", async () => { await Bun.sleep(Number(process.env.SLOW_MS)); console.log("released slow"); });
  setInterval(() => {}, 1000);
  console.log("started");
`;

async function start(slowMs: number) {
  const child = Bun.spawn([process.execPath, "-e", PROGRAM], {
    env: { ...process.env, SLOW_MS: String(slowMs) },
    stdout: "pipe",
  });
  const lines: string[] = [];
  const reading = (async () => {
    for await (const chunk of child.stdout) lines.push(...new TextDecoder().decode(chunk).trim().split("\n"));
  })();
  while (!lines.includes("started")) await Bun.sleep(10);
  return { child, lines, reading };
}

test("parts are released in reverse order, and the process ends with 0", async () => {
  const { child, lines, reading } = await start(50);
  child.kill("SIGTERM");
  expect(await child.exited).toBe(0);
  await reading;
  expect(lines).toEqual(["started", "released slow", "released first"]);
});

test("the second signal ends the process at once", async () => {
  const { child, lines, reading } = await start(60_000);
  child.kill("SIGINT");
  await Bun.sleep(100);
  child.kill("SIGINT");
  expect(await child.exited).toBe(1);
  await reading;
  expect(lines).toEqual(["started"]);
});

test("a part that fails to stop does not keep the others from stopping; a second stop waits for the first", async () => {
  const lifecycle = new Lifecycle(createLogger("test", "silent"));
  const released: string[] = [];
  lifecycle.onStop("one", () => void released.push("one"));
  lifecycle.onStop("broken", () => {
    throw new Error("broken");
  });
  await Promise.all([lifecycle.stop(), lifecycle.stop()]);
  expect(released).toEqual(["one"]);
});

test("back-off grows within its limits, and starts anew after a success", () => {
  const backoff = createBackoff({ initialMs: 100, maxMs: 2_000 });
  const delays = Array.from({ length: 20 }, () => backoff.nextMs());
  expect(Math.max(...delays)).toBeLessThanOrEqual(2_000);
  expect(Math.min(...delays)).toBeGreaterThanOrEqual(0);
  expect(Math.max(...delays.slice(10))).toBeGreaterThan(delays[0] ?? 0);
  backoff.reset();
  expect(backoff.nextMs()).toBeLessThanOrEqual(400);
});

test("sleep ends early when aborted, and a time-out rejects with its message", async () => {
  const abort = new AbortController();
  const started = performance.now();
  const sleeping = systemClock.sleep(60_000, abort.signal);
  abort.abort();
  await sleeping;
  expect(performance.now() - started).toBeLessThan(1_000);
  expect(withTimeout(new Promise(() => {}), 10, "too slow")).rejects.toThrow("too slow");
  expect(await withTimeout(Promise.resolve(1), 1_000, "too slow")).toBe(1);
});
