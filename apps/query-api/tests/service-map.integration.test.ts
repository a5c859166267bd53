/** The routes of the service map and of retention, over what a client sends and gets. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { closeDatabase } from "@timespan/store/database";
import { maintainRollups } from "@timespan/store/storage/maintain-rollups";
import { retentionAnswer } from "@timespan/telemetry/api/retention-answer";
import { serviceMap, serviceMapDiff } from "@timespan/telemetry/api/service-map-answer";
import { spanEvent } from "@timespan/testing/events";
import { openAsSuperuser } from "@timespan/testing/test-database";
import { testEngines } from "@timespan/testing/test-environment";
import type { SpanEvent } from "@timespan/testing/workload/events";
import { startTestApi, type TestApi } from "./test-api.ts";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const NOW_MS = Math.floor(Date.now() / MINUTE_MS) * MINUTE_MS;
const BEFORE_MS = NOW_MS - 26 * HOUR_MS;
const AFTER_MS = NOW_MS - 2 * HOUR_MS;

for (const { engine, present } of testEngines()) {
  describe.skipIf(!present)(`the service map on ${engine}`, () => {
    let api: TestApi;

    beforeAll(async () => {
      api = await startTestApi(engine);
      await api.store([
        ...calls(BEFORE_MS, "checkout", "payment", 20),
        ...calls(BEFORE_MS, "checkout", "fax", 1),
        ...calls(AFTER_MS, "checkout", "payment", 20, 3),
        ...calls(AFTER_MS, "checkout", "ledger", 1),
      ]);
      if (engine !== "timescaledb") return;
      await maintainRollups(api.writer, {
        lateAfterMs: HOUR_MS,
        refreshIntervalMs: HOUR_MS,
        refreshDelayMs: MINUTE_MS,
      });
      const superuser = openAsSuperuser(api.url);
      const jobs = await superuser<{ job_id: number }[]>`
        SELECT job_id FROM timescaledb_information.jobs
        WHERE proc_name IN ('refresh_rollups', 'refresh_service_edges') ORDER BY proc_name`;
      for (const { job_id } of jobs) await superuser`CALL run_job(${job_id})`;
      await closeDatabase(superuser);
    });
    afterAll(() => api.close());

    const window = (endMs: number) => `from=${endMs - 10 * MINUTE_MS}&to=${endMs + MINUTE_MS}`;

    test("nodes and edges of a window, with calls, errors, percentiles and health", async () => {
      const { status, text } = await api.get(`/query/service-map?${window(AFTER_MS)}`);
      expect(status).toBe(200);
      const map = serviceMap.parse(JSON.parse(text));
      expect(map.edges).toEqual([
        {
          source: "service:checkout",
          target: "service:payment",
          call_count: 20,
          error_count: 3,
          error_rate: 0.15,
          latency_p50_ms: expect.closeTo(10, 0),
          latency_p95_ms: expect.closeTo(10, 0),
          health: "CRITICAL",
        },
        expect.objectContaining({
          source: "service:checkout",
          target: "service:ledger",
          call_count: 1,
          health: null,
        }),
      ]);
      expect(map.nodes.map(({ id, call_count }) => `${id} ${call_count}`).sort()).toEqual([
        "service:checkout 0",
        "service:ledger 1",
        "service:payment 20",
      ]);
      expect(map.truncated).toBe(false);
      expect(map.complete_through).toBe(map.to);
    });

    test("an environment without rows has an empty map", async () => {
      const { text } = await api.get(`/query/service-map?${window(AFTER_MS)}&environment=nowhere`);
      expect(serviceMap.parse(JSON.parse(text))).toMatchObject({
        environment: "nowhere",
        nodes: [],
        edges: [],
      });
    });

    test("a difference names what appeared and what vanished, and nothing else", async () => {
      const ends = `before=${BEFORE_MS + MINUTE_MS}&after=${AFTER_MS + MINUTE_MS}`;
      const { status, text } = await api.get(`/query/service-map/diff?${ends}&window_minutes=10`);
      expect(status).toBe(200);
      const diff = serviceMapDiff.parse(JSON.parse(text));
      expect(diff.appeared.map(({ target }) => target)).toEqual(["service:ledger"]);
      expect(diff.vanished.map(({ target }) => target)).toEqual(["service:fax"]);
      expect(Date.parse(diff.after.to) - Date.parse(diff.after.from)).toBe(10 * MINUTE_MS);
    });

    test.each([
      ["before=now", "before must be before after."],
      ["before=soon&after=later", "2 parameters are wrong; see errors."],
      ["window_minutes=0", "window_minutes must be at least 1."],
      ["from=now-1h", /^from is not known here/],
    ])("?%s is refused", async (search, detail) => {
      const { status, text } = await api.get(`/query/service-map/diff?${search}`);
      expect({ status, ...JSON.parse(text) }).toMatchObject({ status: 400 });
      expect(JSON.parse(text).detail).toEqual(
        typeof detail === "string" ? detail : expect.stringMatching(detail),
      );
    });

    test("retention tells what was set and what is there", async () => {
      const { status, text } = await api.get("/query/retention");
      expect(status).toBe(200);
      const { items } = retentionAnswer.parse(JSON.parse(text));
      const spans = items.find(({ relation }) => relation === "spans");
      expect(spans?.retention_seconds).toBe(7 * 86_400);
      expect(Date.parse(spans?.oldest_time ?? "")).toBe(BEFORE_MS);
    });
  });
}

/** Calls of one service by another, `errorCount` of them failed. */
function calls(atMs: number, from: string, to: string, count: number, errorCount = 0): SpanEvent[] {
  const timestamp = new Date(atMs).toISOString();
  return Array.from({ length: count }, (_, index) => {
    const caller = spanEvent({ service_name: from, timestamp, kind: "CLIENT", duration_ms: 20 });
    const answer = spanEvent({
      service_name: to,
      timestamp,
      trace_id: caller.trace_id,
      parent_span_id: caller.span_id,
      kind: "SERVER",
      status: index < errorCount ? "ERROR" : "OK",
      duration_ms: 10,
    });
    return [caller, answer];
  }).flat();
}
