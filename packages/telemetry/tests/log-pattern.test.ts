import { expect, test } from "bun:test";
import {
  logPattern,
  PATTERN_BODY_CHARACTERS_MAX,
  patternsOfText,
  patternText,
} from "@timespan/telemetry/log-pattern";

test.each([
  ["payment 4711 declined after 12.5 ms", "payment <*> declined after <*> ms"],
  ["user 6f1c2a3e-0b1d-4c5e-8f90-a1b2c3d4e5f6 not found", "user <*> not found"],
  ["block 0xdeadBEEF at 00ff12ab34", "block <*> at <*>"],
  ["cannot open \"C:\\tmp\" for 'root'", "cannot open \"<*>\" for '<*>'"],
  ["it can't be the user's", "it can't be the user's"],
  ["the facade of effaced", "the facade of effaced"],
  ["took 15ms at 12:30:05.123", "took <*>ms at <*>"],
  ["first line 1\nsecond line 2", "first line <*>…"],
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
    expect(patternText(body).length).toBeLessThanOrEqual(3 * PATTERN_BODY_CHARACTERS_MAX + 1);
  }
});

test("a surrogate pair that the cut would halve leaves text that can be stored", () => {
  const pattern = patternText(`${"x".repeat(PATTERN_BODY_CHARACTERS_MAX - 1)}😀`);
  expect(pattern.isWellFormed()).toBe(true);
});

test("a body with a text in it has a pattern with one of the text's in it", () => {
  const pieces = [
    ..."abcdefxgz019 .,:-'\"_\n\\éß",
    ...[
      "quarantined",
      "deadbeef",
      "cafe1234",
      "0x1f",
      "fade",
      "12.5",
      "it's",
      "6f1c2a3e-0b1d-4c5e-8f90-a1b2c3d4e5f6",
    ],
    " ".repeat(PATTERN_BODY_CHARACTERS_MAX / 2),
  ];
  let seed = 1;
  const below = (count: number) => {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((seed / 2 ** 32) * count);
  };
  let looked = 0;
  for (let n = 0; n < 50_000; n++) {
    const body = Array.from({ length: 1 + below(12) }, () => pieces[below(pieces.length)]).join("");
    const from = below(body.length);
    const text = body.slice(from, from + 1 + below(24));
    const parts = patternsOfText(text);
    if (parts === undefined) continue;
    looked++;
    const pattern = patternText(body);
    if (!parts.some((part) => pattern.includes(part)))
      throw new Error(JSON.stringify({ body, text, pattern }));
  }
  expect(looked).toBeGreaterThan(10_000);
});

test.each([
  ["quarantined for customer 7", "quarantined"],
  ["100% of it", "of"],
  ["deadbeef 12 ab", undefined],
  ["0x", undefined],
])("of the text %p a pattern is sure to have %p", (text, word) => {
  expect(patternsOfText(text)?.[0]).toBe(word);
});
