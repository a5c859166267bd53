import { afterAll, beforeAll, expect, test } from "bun:test";
import { FULL_ACCESS } from "@timespan/telemetry/access";
import { parseMetric } from "@timespan/telemetry/api/metric-series";
import { createTestDatabase, openAsSuperuser, type TestDatabase } from "@timespan/testing/test-database";
import postgres from "postgres";
import type { Database } from "../src/database.ts";
import { listEndpointTraces } from "../src/endpoints/list-endpoint-traces.ts";
import { listEndpoints } from "../src/endpoints/list-endpoints.ts";
import { findErrorTime, listErrors, listNewestErrors } from "../src/log-records/list-errors.ts";
import { listLogRecords } from "../src/log-records/list-log-records.ts";
import { readServiceMetrics } from "../src/service-metrics/read-service-metrics.ts";
import { listServices } from "../src/services/list-services.ts";
import { listSpans } from "../src/spans/list-spans.ts";
import { findTrace } from "../src/traces/find-trace.ts";
import { listRootSpans } from "../src/traces/list-root-spans.ts";

const HOUR_US = 3_600_000_000;
const NOW_US = Date.UTC(2026, 10, 21, 15) * 1_000;
const OPEN = { fromUs: null, toUs: null };
const WINDOW = { fromUs: NOW_US - HOUR_US, toUs: NOW_US };
const SOME_ACCESS = { environments: ["production", "staging"], services: ["cart"] };
const TRACE = "0af7651916cd43dd8448eb211c80319c";
const SPAN = "ffffffffffffffff";
/** Stored up to the last hour, so that windows are read from every level and from raw spans. */
const STORED = { "1h": NOW_US - HOUR_US, "10m": NOW_US - HOUR_US / 3, "1m": NOW_US - HOUR_US / 20 };
const ROLLUPS = { enabled: true, thresholdMs: 300_000, storedUntilUs: { service: STORED, endpoint: STORED } };
const after = { timeUs: NOW_US, durationUs: 250, sourceId: 1, sourceOffset: 42, sourceIndex: 0 };

const ERROR_FILTER = {
  services: ["cart"],
  environments: ["production"],
  message: "100%",
  labels: [{ key: "region", value: "eu" }],
};
const SOURCES = [{ sourceId: 1, after: { offset: 42, index: 0 }, upTo: { offset: 50, index: 3 } }];

let created: TestDatabase;
let database: Database;
let sent: string[] = [];

beforeAll(async () => {
  created = await createTestDatabase("postgres");
  const superuser = openAsSuperuser(created.url);
  await superuser`
    INSERT INTO timespan.trace_locator (first_time, last_time, trace_id) VALUES (now(), now(), ${TRACE}::uuid)`;
  await superuser.end();
  database = postgres(created.url, {
    max: 1,
    connection: { role: "timespan_reader", timezone: "UTC" },
    debug: (_, text) => sent.push(text),
  });
  await database`SELECT 1`;
});
afterAll(async () => {
  await database.end();
  await created.drop();
});

/**
 * The SQL of each shape of query, as it is sent; the engine makes no difference. A change here is a change of what the
 * database is asked: look at its plan (EXPLAIN) on both engines before taking it over with `--update-snapshots`.
 */
const shapes: [name: string, ask: () => Promise<unknown>][] = [
  [
    "spans: newest",
    () => listSpans(database, FULL_ACCESS, { range: OPEN }, "start_time_desc", { size: 50, page: 2 }),
  ],
  [
    "spans: every filter",
    () =>
      listSpans(
        database,
        SOME_ACCESS,
        {
          range: WINDOW,
          serviceName: "cart",
          environment: "production",
          name: "GET /cart",
          kind: "SERVER",
          status: "ERROR",
          minDurationUs: 1,
          maxDurationUs: 2,
          traceId: TRACE,
          parentSpanId: SPAN,
          labels: [
            { key: "region", value: "eu" },
            { key: "tier", value: "1" },
          ],
        },
        "start_time_asc",
        { size: 50, page: 1 },
      ),
  ],
  ...(["start_time_desc", "start_time_asc", "duration_desc", "duration_asc"] as const).map(
    (sort): [string, () => Promise<unknown>] => [
      `spans: after a cursor, ${sort}`,
      () =>
        listSpans(database, FULL_ACCESS, { range: OPEN, serviceName: "cart" }, sort, {
          size: 50,
          after,
          total: 99,
        }),
    ],
  ),
  [
    "logs: every filter",
    () =>
      listLogRecords(
        database,
        SOME_ACCESS,
        {
          range: WINDOW,
          serviceName: "cart",
          environment: "production",
          level: "ERROR",
          minLevel: "WARN",
          traceId: TRACE,
          spanId: SPAN,
          message: "100% full",
          labels: [{ key: "region", value: "eu" }],
        },
        "desc",
        { size: 50, page: 2 },
      ),
  ],
  ...(["desc", "asc"] as const).map((sort): [string, () => Promise<unknown>] => [
    `logs: after a cursor, ${sort}`,
    () => listLogRecords(database, FULL_ACCESS, { range: WINDOW }, sort, { size: 50, after, total: 99 }),
  ]),
  [
    "trace: found, of one service and environment",
    () => findTrace(database, SOME_ACCESS, TRACE, { serviceName: "cart", environment: "production" }),
  ],
  [
    "root spans: of a service",
    () =>
      listRootSpans(database, FULL_ACCESS, { range: WINDOW, serviceName: "cart" }, "duration_desc", {
        size: 50,
        page: 1,
      }),
  ],
  [
    "services: from rollups, and raw at the edges",
    () =>
      listServices(database, FULL_ACCESS, ROLLUPS, {
        window: { fromUs: WINDOW.fromUs - 1, toUs: NOW_US + 1 },
        sort: "request_count",
        limit: 10,
      }),
  ],
  [
    "services: from raw spans, every filter",
    () =>
      listServices(
        database,
        SOME_ACCESS,
        { ...ROLLUPS, enabled: false },
        { window: WINDOW, environment: "production", nameFilter: "50%", sort: "error_rate", limit: 10 },
      ),
  ],
  [
    "endpoints: slowest first",
    () =>
      listEndpoints(database, FULL_ACCESS, ROLLUPS, {
        serviceName: "cart",
        window: WINDOW,
        sort: "latency_p95_ms",
        limit: 10,
      }),
  ],
  ...(["latency_p95_ms", "http_requests_total"] as const).map((name): [string, () => Promise<unknown>] => [
    `metrics: ${name} by ten minutes`,
    () =>
      readServiceMetrics(database, FULL_ACCESS, ROLLUPS, {
        serviceName: "cart",
        metrics: [parseMetric(name)].filter((metric) => metric !== undefined),
        window: { fromUs: WINDOW.fromUs + 1, toUs: NOW_US },
        intervalUs: 600_000_000,
      }),
  ]),
  ...(["errors", { slowQuantile: 0.95 }] as const).map((only): [string, () => Promise<unknown>] => [
    `endpoint traces: ${only === "errors" ? only : "slow"}`,
    () =>
      listEndpointTraces(database, FULL_ACCESS, ROLLUPS, {
        serviceName: "cart",
        endpoint: "GET /cart",
        window: WINDOW,
        only,
        limit: 20,
      }),
  ]),
  ["errors: the next", () => listErrors(database, SOME_ACCESS, ERROR_FILTER, SOURCES, WINDOW.fromUs, 100)],
  ["errors: the newest", () => listNewestErrors(database, SOME_ACCESS, ERROR_FILTER, SOURCES, 100)],
  ["errors: when one happened", () => findErrorTime(database, { sourceId: 1, offset: 42, index: 0 })],
];

test.each(shapes)("%s", async (_, ask) => {
  sent = [];
  await ask();
  expect(`${sent.map(tidy).join(";\n\n")};\n`).toMatchSnapshot();
});
/** Without the blank lines and indentation that composing leaves behind. */
function tidy(text: string): string {
  return text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "")
    .join("\n");
}
