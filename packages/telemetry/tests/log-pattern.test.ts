import { expect, test } from "bun:test";
import { logPattern, PATTERN_BODY_CHARACTERS_MAX, patternText } from "@timespan/telemetry/log-pattern";

test.each([
  ["payment 4711 declined after 12.5 ms", "payment <*> declined after <*> ms"],
  ["user 6f1c2a3e-0b1d-4c5e-8f90-a1b2c3d4e5f6 not found", "user <*> not found"],
  ["block 0xdeadBEEF at 00ff12ab34", "block <*> at <*>"],
  ["cannot open \"C:\\tmp\" for 'root'", "cannot open <*> for <*>"],
  ["it can't be the user's", "it can't be the user's"],
  ["the facade of effaced", "the facade of effaced"],
  ["took 15ms at 12:30:05.123", "took <*>ms at <*>"],
  ["first line 1\nsecond line 2", "first line <*>"],
  ["", ""],
  ["größe 5 überschritten", "größe <*> überschritten"],
])("%p has the pattern %p", (body, pattern) => {
  expect(patternText(body)).toBe(pattern);
});

test("logs that differ by their values share a pattern, others do not", () => {
  const a = logPattern(patternText("order 1 of 'ann' failed"));
  expect(logPattern(patternText("order 22 of 'bob' failed"))).toBe(a);
  expect(a.patternId).toMatch(/^[0-9a-f]{16}$/);
  expect(logPattern(patternText("order 1 of 'ann' passed")).patternId).not.toBe(a.patternId);
});

test("a long body, and one that was made to be slow, are cut before they are read", () => {
  for (const body of ["'".repeat(1e6), '"a'.repeat(1e6), "a1".repeat(1e6), "1.".repeat(1e6)]) {
    expect(patternText(body).length).toBeLessThanOrEqual(3 * PATTERN_BODY_CHARACTERS_MAX);
  }
});

test("a surrogate pair that the cut would halve leaves text that can be stored", () => {
  const pattern = patternText(`${"x".repeat(PATTERN_BODY_CHARACTERS_MAX - 1)}😀`);
  expect(pattern.isWellFormed()).toBe(true);
});
