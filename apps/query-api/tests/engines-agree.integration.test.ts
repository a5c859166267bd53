import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { systemClock } from "@timespan/runtime/clock";
import { logEvent } from "@timespan/testing/events";
import { testEngines } from "@timespan/testing/test-environment";
import { canonicalSpans } from "@timespan/testing/workload/canonical";
import type { LogEvent, SpanEvent } from "@timespan/testing/workload/events";
import { compressChunks } from "./compress-chunks.ts";
import { refreshRollups } from "./refresh-rollups.ts";
import { minutesAgo, startTestApi, type TestApi } from "./test-api.ts";

const SPAN_COUNT = 3_000;
const startMs = minutesAgo(26 * 60);
const bothPresent = testEngines().every(({ present }) => present);

/** Spans over 25 hours, so of several chunks and of two or three days, and a log for every other span. */
function workload(): (SpanEvent | LogEvent)[] {
  const spans = canonicalSpans({ seed: 7, startMs, spansPerSecond: SPAN_COUNT / (25 * 3_600) });
  const events: (SpanEvent | LogEvent)[] = [];
  for (let n = 0; n < SPAN_COUNT; n++) {
    const span = spans.next().value;
    events.push(span);
    if (n % 2 === 0) {
      const { timestamp, service_name, environment, trace_id, span_id } = span;
      const level = (["DEBUG", "INFO", "WARN", "ERROR"] as const)[(n / 2) % 4] ?? "INFO";
      events.push(
        logEvent({
          timestamp,
          service_name,
          environment,
          trace_id,
          span_id,
          level,
          message: `${span.name} took ${n}`,
        }),
      );
    }
  }
  return events;
}

describe.skipIf(!bothPresent)("both engines", () => {
  const events = workload();
  const traceIds = [...new Set(events.slice(0, 100).map(({ trace_id }) => trace_id))];
  const now = { ...systemClock, nowMs: () => startMs + 26 * 3_600_000 };
  let plain: TestApi;
  let timescale: TestApi;
  beforeAll(async () => {
    [plain, timescale] = await Promise.all([
      startTestApi("postgres", { clock: now }),
      startTestApi("timescaledb", { clock: now }),
    ]);
    await Promise.all([plain.store(events), timescale.store(events)]);
  });
  afterAll(() => Promise.all([plain?.close(), timescale?.close()]));

  test.each([
    "/query/spans?size=1000",
    "/query/spans?size=1000&sort=start_time_asc",
    "/query/spans?size=1000&sort=duration_desc",
    "/query/spans?size=1000&sort=duration_asc&page=3",
    "/query/spans?service_name=service-03&environment=prod&kind=server",
    "/query/spans?status=error&from=now-6h&sort=duration_desc",
    "/query/spans?min_duration_ms=50&from=now-20h&to=now-2h",
    "/query/spans?label.peer.service=service-07&size=500",
    `/query/spans?trace_id=${traceIds[0]}`,
    "/query/logs?from=now-26h&size=10000",
    "/query/logs?from=now-26h&size=777&page=2&sort=asc",
    "/query/logs?from=now-12h&min_level=warn&service_name=service-11",
    "/query/logs?from=now-26h&level=error&message=GET%20/endpoint-0",
    "/query/logs?from=now-2h&message=took%2029",
    ...traceIds.map((id) => `/query/traces/${id}`),
    `/query/traces/${traceIds[1]}?service=service-01`,
    "/query/services?from=now-26h",
    "/query/services?from=now-20h&to=now-90m&sort_by=latency_p95_ms&environment=staging",
    "/query/services/service-04/metrics?from=now-26h",
    "/query/services/service-04/metrics?from=now-26h&interval=1h&environment=prod",
    "/query/services/service-05/metrics?from=now-3h&interval=1m&metric=latency_p99_ms",
    "/query/services/service-06/endpoints?from=now-26h&sort_by=latency_p95_ms&limit=5",
    "/query/services/service-07/traces?sort=duration_desc",
    "/query/services/service-06/endpoints/GET%20%2Fendpoint-03/traces?from=now-26h&status=slow&slow_percentile=50",
  ])("answer alike: %s", async (path) => {
    const [a, b] = await Promise.all([plain.get(path), timescale.get(path)]);
    expect(a.status).toBe(200);
    expect(withoutSource(b.text)).toEqual(withoutSource(a.text));
    expect(a.text.length).toBeGreaterThan(100);
  });

  test("answer alike from the columnstore too", async () => {
    const paths = [
      "/query/spans?size=1000",
      "/query/logs?from=now-26h&size=1000",
      "/query/services?from=now-26h",
      "/query/services/service-04/metrics?from=now-26h",
      `/query/traces/${traceIds[0]}`,
    ];
    const before = await Promise.all(paths.map((path) => plain.get(path)));
    await refreshRollups(timescale.url, "timescaledb", startMs + 24 * 3_600_000);
    await compressChunks(timescale.url);
    for (const [index, path] of paths.entries()) {
      expect(withoutSource((await timescale.get(path)).text)).toEqual(
        withoutSource(before[index]?.text ?? ""),
      );
    }
  });
});

/** What is read differs between the engines; what is told does not. */
function withoutSource(text: string): unknown {
  return JSON.parse(text, (key, value) => (key === "source" ? undefined : value));
}
