import { expect, test } from "bun:test";
import type { Clock } from "@timespan/runtime/clock";
import { createProgressLine } from "../src/progress-line.ts";

function output(isTTY: boolean) {
  let text = "";
  return { isTTY, columns: 20, write: (part: string) => (text += part), text: () => text };
}

function handClock() {
  let nowMs = 0;
  const clock: Clock = { nowMs: () => nowMs, sleep: async () => {}, every: () => () => {} };
  return { clock, advance: (ms: number) => (nowMs += ms) };
}

test("a terminal shows one line that is rewritten, cut to its width, and kept below what stays", () => {
  const out = output(true);
  const progress = createProgressLine(out);
  progress.update("starting");
  progress.report("Kafka is up");
  progress.update("a text much longer than the terminal");
  progress.clear();
  expect(out.text()).toBe(
    "\r\x1b[2K… starting\r\x1b[2KKafka is up\n\r\x1b[2K… starting\r\x1b[2K… a text much long…\r\x1b[2K",
  );
});

test("elsewhere a stage is said once, and again only when it takes long", () => {
  const out = output(false);
  const { clock, advance } = handClock();
  const progress = createProgressLine(out, clock);
  progress.update("Maven, 1 s");
  progress.update("Maven, 2 s");
  advance(20_000);
  progress.update("Maven, 22 s");
  progress.report("done");
  expect(out.text()).toBe("… Maven, 1 s\n… Maven, 22 s\ndone\n");
});
