import { expect, test } from "bun:test";
import { parseEventId } from "../src/event-position.ts";
import { SeenIds } from "../src/seen-ids.ts";

const MAX = 5;
const add = (seen: SeenIds, id: string) => seen.add(id, parseEventId(id));

test("an id is new once, also when it is no longer remembered, and so is one of a source that stood still", () => {
  const seen = new SeenIds(MAX);
  expect(add(seen, "2-7-0")).toBe(true);
  for (let offset = 1; offset <= 3 * MAX; offset++) {
    expect(add(seen, `1-${offset}-0`)).toBe(true);
    for (let before = 1; before <= offset; before++) expect(add(seen, `1-${before}-0`)).toBe(false);
    expect(add(seen, "2-7-0")).toBe(false);
  }
  expect(add(seen, "2-7-1")).toBe(true);
});

test("of ids without a place the newest are remembered", () => {
  const seen = new SeenIds(MAX);
  const ids = Array.from({ length: 3 * MAX }, (_, index) => `somebody's ${index}`);
  for (const id of ids) expect(add(seen, id)).toBe(true);
  for (const id of ids.slice(-MAX)) expect(add(seen, id)).toBe(false);
  expect(add(seen, "somebody's 0")).toBe(true);
});
