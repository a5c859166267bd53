import { expect, test } from "bun:test";
import fc from "fast-check";
import { NAME_UNUSED_MS, NameLimit } from "../src/guards-name-limit.ts";

function limitOf(perServiceMax: number, totalMax?: number) {
  const clock = { nowMs: 0 };
  const full: string[] = [];
  const limit = new NameLimit({
    perServiceMax,
    nowMs: () => clock.nowMs,
    onServiceFull: (serviceName) => full.push(serviceName),
    ...(totalMax === undefined ? {} : { totalMax }),
  });
  return { limit, clock, full };
}

test("the first endpoints of a service are kept, further ones are other; services do not share their places", () => {
  const { limit, full } = limitOf(2);
  expect(["a", "b", "c", "a", "d", "b"].map((name) => limit.admit("svc", name))).toEqual([
    "a",
    "b",
    "other",
    "a",
    "other",
    "b",
  ]);
  expect(limit.admit("svc-2", "c")).toBe("c");
  expect(limit.otherCount).toBe(2);
  expect(full).toEqual(["svc"]);
});

test("an endpoint that was not called for an hour gives its place to another; one that is called keeps it", () => {
  const { limit, clock, full } = limitOf(2);
  limit.admit("svc", "used");
  limit.admit("svc", "gone");
  clock.nowMs += NAME_UNUSED_MS;
  // The first sweep ends the first hour, in which both were called.
  expect(limit.admit("svc", "new")).toBe("other");
  limit.admit("svc", "used");
  expect(limit.admit("svc", "new")).toBe("other");
  clock.nowMs += NAME_UNUSED_MS;
  expect(limit.admit("svc", "new")).toBe("new");
  expect(limit.admit("svc", "used")).toBe("used");
  expect(limit.admit("svc", "gone")).toBe("other");
  expect(full).toEqual(["svc", "svc"]);
});

test("names in all are limited, however many services there are; those that are silent make room", () => {
  const { limit, clock } = limitOf(10, 3);
  for (const service of ["a", "b", "c"]) expect(limit.admit(service, "x")).toBe("x");
  expect(limit.admit("d", "x")).toBe("other");
  clock.nowMs += NAME_UNUSED_MS;
  limit.admit("d", "x");
  limit.admit("a", "x");
  clock.nowMs += NAME_UNUSED_MS;
  expect(limit.admit("d", "x")).toBe("x");
  expect(limit.admit("a", "x")).toBe("x");
  expect(limit.admit("e", "x")).toBe("x");
  expect(limit.admit("b", "x")).toBe("other");
});

test("within an hour a service never has more names than its limit, whatever is called in whatever order", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 5 }),
      fc.array(fc.tuple(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 0, max: 9 })), { maxLength: 200 }),
      (perServiceMax, calls) => {
        const { limit } = limitOf(perServiceMax);
        const named = new Map<number, Set<string>>();
        let others = 0;
        for (const [service, endpoint] of calls) {
          const name = limit.admit(String(service), String(endpoint));
          if (name === "other") others++;
          else {
            expect(name).toBe(String(endpoint));
            named.set(service, (named.get(service) ?? new Set()).add(name));
          }
        }
        for (const names of named.values()) expect(names.size).toBeLessThanOrEqual(perServiceMax);
        expect(limit.otherCount).toBe(others);
      },
    ),
  );
});
