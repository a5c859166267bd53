import { expect, test } from "bun:test";
import { createRegistry, renderMetrics, snapshotMetrics } from "@timespan/runtime/metrics";
import { readSettings } from "@timespan/runtime/settings";
import { z } from "zod";
import { createGuards, guardOptions, guardSettings, guardWarnings } from "../src/guard-settings.ts";

const options = (env: Record<string, string>) => guardOptions(readSettings(z.object(guardSettings), env));

test("nothing is masked where nothing is set, and endpoints are capped", () => {
  expect(options({})).toEqual({
    hashKeys: [],
    dropKeys: [],
    hashSecret: undefined,
    endpointsPerServiceMax: 200,
    logPatternsPerServiceMax: 1_000,
  });
  expect(guardWarnings(options({}))).toEqual([]);
});

test("all problems are said at once", () => {
  expect(() => options({ MASK_HASH_KEYS: "user.id, *", MASK_DROP_KEYS: "User.Id,a.*.b" })).toThrow(
    [
      "MASK_HASH_KEYS: * must be a key, or a prefix as in patient.*",
      "MASK_DROP_KEYS: a.*.b must be a key, or a prefix as in patient.*",
      "user.id is in both MASK_HASH_KEYS and MASK_DROP_KEYS",
      "MASK_HASH_SECRET is required with MASK_HASH_KEYS",
    ].join("\n  "),
  );
  const many = Array.from({ length: 201 }, (_, index) => `k${index}`).join(",");
  expect(() => options({ MASK_DROP_KEYS: many })).toThrow("more than 200 keys");
  expect(() => options({ ENDPOINTS_PER_SERVICE_MAX: "0" })).toThrow("at least 1");
});

test("a key twice is one, and what may not do what was meant is said", () => {
  const given = options({
    MASK_HASH_KEYS: "user.id,User.ID",
    MASK_DROP_KEYS: "http_path",
    MASK_HASH_SECRET: "short",
  });
  expect(given.hashKeys).toEqual(["User.ID"]);
  expect(guardWarnings(given)).toEqual([
    "masking http_path: only a label of that name is masked, the event's own field is not",
    "MASK_HASH_SECRET has fewer than 16 characters: it can be found by trying",
  ]);
});

test("what the guards of all threads did is summed by key", async () => {
  const given = options({
    MASK_DROP_KEYS: "password,never",
    ENDPOINTS_PER_SERVICE_MAX: "1",
  });
  const snapshots = [];
  for (const _ of [1, 2]) {
    const registry = createRegistry();
    const guards = createGuards(given, { nowMs: () => 0 }, registry);
    guards.attributes({ password: "x", form: { password: "y" } });
    for (const endpoint of ["a", "b", "c"]) guards.endpoint("svc", endpoint);
    guards.maskPayload(Buffer.from("no JSON"));
    await snapshotMetrics(registry); // asking changes nothing
    snapshots.push(await snapshotMetrics(registry));
  }
  const text = await renderMetrics([], snapshots);
  expect(text.split("\n").filter((line) => line.startsWith("timespan"))).toEqual([
    'timespan_ingest_masked_values_total{key="password",action="drop"} 4',
    'timespan_ingest_masked_values_total{key="never",action="drop"} 0',
    "timespan_ingest_other_endpoints_total 4",
    "timespan_ingest_other_log_patterns_total 0",
    "timespan_ingest_withheld_payloads_total 2",
  ]);
});
