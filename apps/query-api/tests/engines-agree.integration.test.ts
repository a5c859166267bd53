import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { systemClock } from "@timespan/runtime/clock";
import { closeDatabase } from "@timespan/store/database";
import { logEvent } from "@timespan/testing/events";
import { openAsSuperuser } from "@timespan/testing/test-database";
import { testEngines } from "@timespan/testing/test-environment";
import { canonicalSpans } from "@timespan/testing/workload/canonical";
import type { LogEvent, SpanEvent } from "@timespan/testing/workload/events";
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
  ])("answer alike: %s", async (path) => {
    const [a, b] = await Promise.all([plain.get(path), timescale.get(path)]);
    expect(a.status).toBe(200);
    expect(b.body).toEqual(a.body);
    expect(a.text.length).toBeGreaterThan(100);
  });

  test("answer alike from the columnstore too", async () => {
    const paths = [
      "/query/spans?size=1000",
      "/query/logs?from=now-26h&size=1000",
      `/query/traces/${traceIds[0]}`,
    ];
    const before = await Promise.all(paths.map((path) => plain.get(path)));
    const superuser = openAsSuperuser(timescale.url);
    for (const table of ["spans", "log_records", "trace_locator"]) {
      await superuser.unsafe(
        `SELECT public.compress_chunk(c) FROM public.show_chunks('timespan.${table}') AS c`,
      );
    }
    await closeDatabase(superuser);
    for (const [index, path] of paths.entries()) {
      expect((await timescale.get(path)).text).toBe(before[index]?.text ?? "");
    }
  });
});
