import { expect, test } from "bun:test";
import { endpointName } from "../src/endpoint-name.ts";
import { nestsDeeperThan } from "../src/json-depth.ts";
import { peerServiceOf } from "../src/peer-service.ts";
import { SAMPLE_WEIGHT_MAX, sampleRateWeight, traceStateWeight } from "../src/sample-weight.ts";
import { SPAN_KIND } from "../src/span-kind.ts";

test.each([
  ["GET", undefined, "/orders/123/items/7", "GET /orders/{number}/items/{number}"],
  ["GET", undefined, "/users/0af76519-16cd-43dd-8448-eb211c80319c?full=1", "GET /users/{uuid}"],
  ["GET", undefined, "/blobs/deadbeef01", "GET /blobs/{hex}"],
  ["GET", undefined, "/facade/v2/2026-11-21", "GET /facade/v2/2026-11-21"],
  ["GET", "/orders/:id", "/orders/9", "GET /orders/:id"],
  ["POST", undefined, "/", "POST /"],
  [null, undefined, "/health", "/health"],
] as const)("method %p, route %p and path %p make the endpoint %s", (method, route, path, expected) => {
  expect(endpointName("name", method, route, path)).toBe(expected);
});

test("a span without a path is counted by its name, ids taken out", () => {
  expect(endpointName("jobs/42/run", null, undefined, null)).toBe("jobs/{number}/run");
});

test("an endpoint is never longer than an index can hold", () => {
  expect(endpointName("x", "GET", undefined, `/${"😀".repeat(1_000)}`).length).toBeLessThanOrEqual(255);
});

test.each([
  [undefined, 1],
  [10, 10],
  ["10", 10],
  [0.25, 4],
  [0, 1],
  [-3, 1],
  ["often", 1],
  [Number.NaN, 1],
  [1e300, 1_000_000],
])("a sample_rate of %p stands for %d spans", (rate, weight) => {
  expect(sampleRateWeight(rate)).toBe(weight);
});

test.each([
  ["", 1],
  ["vendor=x", 1],
  ["ot=th:0", 1],
  ["ot=th:8", 2],
  ["vendor=x, ot=rv:abcdef;th:c", 4],
  ["ot=th:fd70a3d70a3d71", 100],
  ["ot=p:3;r:7", 8],
  ["ot=p:63", 1],
  ["ot=th:zz", 1],
])("tracestate %p stands for %d spans", (state, weight) => {
  expect(traceStateWeight(state)).toBeCloseTo(weight, 6);
});

test("a weight is kept in steps of 1/1024, so that sums do not depend on their order", () => {
  expect(sampleRateWeight(0.3)).toBe(Math.round(1_024 / 0.3) / 1_024);
  expect(sampleRateWeight(1e300)).toBe(SAMPLE_WEIGHT_MAX);
  const weights = Array.from({ length: 1_000 }, (_, index) => sampleRateWeight(1 + index / 7));
  const sum = (all: readonly number[]) => all.reduce((total, weight) => total + weight, 0);
  expect(sum(weights.toReversed())).toBe(sum(weights));
});

test("the peer of a client span is the most telling attribute; other kinds have none", () => {
  const attributes = { "server.address": "db-1", "db.system": "postgresql" };
  expect(peerServiceOf(SPAN_KIND.CLIENT, attributes)).toBe("postgresql");
  expect(peerServiceOf(SPAN_KIND.PRODUCER, { ...attributes, "peer.service": "billing" })).toBe("billing");
  expect(peerServiceOf(SPAN_KIND.SERVER, attributes)).toBeNull();
  expect(peerServiceOf(SPAN_KIND.CLIENT, { "peer.service": 5 })).toBeNull();
});

test("brackets in strings do not count as nesting", () => {
  expect(nestsDeeperThan('{"a":"[[[[{{{{\\"[["}', 1)).toBe(false);
  expect(nestsDeeperThan('{"a":[[1]]}', 2)).toBe(true);
});
