import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { listEndpointTraces } from "@timespan/store/endpoints/list-endpoint-traces";
import { listEndpoints } from "@timespan/store/endpoints/list-endpoints";
import { listLogRecords } from "@timespan/store/log-records/list-log-records";
import { readRollupWatermarks } from "@timespan/store/query/stored-rollups";
import { readServiceMetrics } from "@timespan/store/service-metrics/read-service-metrics";
import { listServices } from "@timespan/store/services/list-services";
import { listSpans } from "@timespan/store/spans/list-spans";
import { findTrace } from "@timespan/store/traces/find-trace";
import { listRootSpans } from "@timespan/store/traces/list-root-spans";
import { type Access, FULL_ACCESS } from "@timespan/telemetry/access";
import { logEvent, randomHex, spanEvent } from "@timespan/testing/events";
import { testEngines } from "@timespan/testing/test-environment";
import { refreshRollups } from "./refresh-rollups.ts";
import { minutesAgo, startTestApi, type TestApi } from "./test-api.ts";

const SERVICES = ["cart", "payment"];
const ENVIRONMENTS = ["production", "staging"];
const trace_id = randomHex(16);
const AT_MS = minutesAgo(10);
const WINDOW = { fromUs: (AT_MS - 600_000) * 1_000, toUs: (AT_MS + 300_000) * 1_000 };

/** One span and one log of each service in each environment, all of one trace. */
const rows = SERVICES.flatMap((service_name) =>
  ENVIRONMENTS.map((environment) => ({ service_name, environment, trace_id })),
);

const accesses: Access[] = [
  FULL_ACCESS,
  { environments: ["production"], services: null },
  { environments: null, services: ["cart"] },
  { environments: ["staging", "nowhere"], services: ["payment", "nobody"] },
  { environments: ENVIRONMENTS, services: SERVICES },
  { environments: [], services: null },
  { environments: null, services: [] },
  { environments: ["nowhere"], services: ["cart"] },
];

for (const { engine, present } of testEngines()) {
  describe.skipIf(!present)(`what a caller may see on ${engine}`, () => {
    let api: TestApi;
    beforeAll(async () => {
      api = await startTestApi(engine);
      const timestamp = new Date(AT_MS).toISOString();
      await api.store(
        rows.flatMap((row) => [spanEvent({ ...row, timestamp }), logEvent({ ...row, timestamp })]),
      );
      await refreshRollups(api.url, engine, AT_MS + 120_000);
    });
    afterAll(() => api?.close());

    test.each(accesses)("is all that it gets: %o", async (access) => {
      const mine = rows
        .filter((row) => access.services?.includes(row.service_name) ?? true)
        .filter((row) => access.environments?.includes(row.environment) ?? true)
        .map((row) => `${row.service_name} ${row.environment}`);
      const shown = (items: readonly { service_name: string; environment: string }[]) =>
        items.map((item) => `${item.service_name} ${item.environment}`).sort();
      const range = { fromUs: null, toUs: null };
      const page = { size: 50, page: 1 };

      const spans = await listSpans(api.reader, access, { range }, "start_time_desc", page);
      expect(shown(spans.items)).toEqual(mine.toSorted());
      const logs = await listLogRecords(api.reader, access, { range }, "desc", page);
      expect(shown(logs.items)).toEqual(mine.toSorted());

      const roots = await listRootSpans(api.reader, access, { range }, "duration_desc", page);
      expect(shown(roots.items)).toEqual(mine.toSorted());
      const longest = await listSpans(api.reader, access, { range }, "duration_desc", page);
      expect(shown(longest.items)).toEqual(mine.toSorted());

      // From raw spans, and from rollups where they are stored.
      const storedUntilUs = await readRollupWatermarks(api.reader);
      for (const enabled of [true, false]) {
        const rollups = { enabled, thresholdMs: 0, storedUntilUs };
        const ranking = { window: WINDOW, sort: "request_count" as const, limit: 10 };
        const services = await listServices(api.reader, access, rollups, ranking);
        expect(services.ranked.reduce((sum, { requestCount }) => sum + requestCount, 0)).toBe(mine.length);
        for (const serviceName of SERVICES) {
          const count = mine.filter((name) => name.startsWith(serviceName)).length;
          const question = { ...ranking, serviceName };
          const endpoints = await listEndpoints(api.reader, access, rollups, question);
          expect(endpoints.ranked.map(({ requestCount }) => requestCount)).toEqual(
            count === 0 ? [] : [count],
          );
          const metrics = await readServiceMetrics(api.reader, access, rollups, {
            serviceName,
            metrics: [{ name: "http_requests_total", figure: "request_count" }],
            window: WINDOW,
            intervalUs: WINDOW.toUs - WINDOW.fromUs,
          });
          const total = metrics?.series[0]?.points.reduce((sum, { value }) => sum + (value ?? 0), 0);
          expect(total).toBe(count === 0 ? undefined : count);
          for (const only of [undefined, "errors", { slowQuantile: 0 }] as const) {
            const traces = await listEndpointTraces(api.reader, access, rollups, {
              serviceName,
              endpoint: "POST /orders",
              window: WINDOW,
              only,
              limit: 10,
            });
            expect(traces).toHaveLength(only === "errors" ? 0 : count);
          }
        }
      }

      const trace = await findTrace(api.reader, access, trace_id);
      if (mine.length === 0) {
        expect(trace).toBeUndefined();
        return;
      }
      expect(shown(trace?.spans ?? [])).toEqual(mine.toSorted());
      expect(shown(trace?.logs ?? [])).toEqual(mine.toSorted());
      expect(trace?.summary.span_count).toBe(mine.length);
    });
  });
}
