import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { listLogRecords } from "@timespan/store/log-records/list-log-records";
import { listSpans } from "@timespan/store/spans/list-spans";
import { findTrace } from "@timespan/store/traces/find-trace";
import { type Access, FULL_ACCESS } from "@timespan/telemetry/access";
import { logEvent, randomHex, spanEvent } from "@timespan/testing/events";
import { testEngines } from "@timespan/testing/test-environment";
import { startTestApi, type TestApi } from "./test-api.ts";

const SERVICES = ["cart", "payment"];
const ENVIRONMENTS = ["production", "staging"];
const trace_id = randomHex(16);

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
      await api.store(rows.flatMap((row) => [spanEvent(row), logEvent(row)]));
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
