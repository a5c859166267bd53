import { systemClock } from "@timespan/runtime/clock";
import { createLogger } from "@timespan/runtime/logger";
import { createRegistry } from "@timespan/runtime/metrics";
import { closeDatabase, type Database, openDatabase } from "@timespan/store/database";
import type { LogItem } from "@timespan/telemetry/api/log-item";
import type { SpanItem } from "@timespan/telemetry/api/span-item";
import { storeEvents } from "@timespan/testing/store-events";
import { createTestDatabase } from "@timespan/testing/test-database";
import type { TestEngine } from "@timespan/testing/test-environment";
import type { LogEvent, SpanEvent } from "@timespan/testing/workload/events";
import { type AppOptions, createApp } from "../src/app.ts";
import type { MetricSettings } from "../src/metric-request.ts";

export type TestApp = ReturnType<typeof createApp>;

/** The settings of production. */
export const METRICS: MetricSettings = {
  quantizationMs: 10_000,
  defaultWindowMs: 15 * 60_000,
  rollups: { enabled: true, thresholdMs: 5 * 60_000 },
  kept: {
    rollups: { prefix: "apm:metrics-rollup", ttlMs: 60_000 },
    others: { prefix: "apm:metrics:v1", ttlMs: 20_000 },
  },
};

/** An app over `database`, with the settings of production unless told otherwise. */
export function testApp(database: Database, overrides: Partial<AppOptions> = {}): TestApp {
  return createApp({
    database,
    keys: undefined,
    redis: undefined,
    clock: systemClock,
    logger: createLogger("query-api tests", "silent"),
    registry: createRegistry("query-api"),
    queryTimeoutMs: 15_000,
    corsAllowedOrigins: [],
    ingestLagMaxSeconds: 60,
    metrics: METRICS,
    ...overrides,
  });
}

export function openReader(url: string, statementTimeoutMs = 15_000): Database {
  return openDatabase({
    url,
    role: "timespan_reader",
    applicationName: "query-api tests",
    poolMax: 3,
    statementTimeoutMs,
    readOnly: true,
  });
}

/** The API over a migrated database of its own. */
export interface TestApi {
  url: string;
  app: TestApp;
  reader: Database;
  writer: Database;
  /** Stores events as the stream-processor would. */
  store(events: readonly (SpanEvent | LogEvent)[]): Promise<void>;
  get(path: string): Promise<Answer>;
  close(): Promise<void>;
}

export async function startTestApi(
  engine: TestEngine,
  overrides: Partial<AppOptions> = {},
): Promise<TestApi> {
  const { url, drop } = await createTestDatabase(engine);
  const reader = openReader(url);
  const writer = openDatabase({
    url,
    role: "timespan_writer",
    applicationName: "query-api tests",
    poolMax: 2,
    statementTimeoutMs: 30_000,
  });
  const app = testApp(reader, overrides);
  return {
    url,
    app,
    reader,
    writer,
    store: (events) => storeEvents(writer, "query-api-tests", events),
    get: (path) => get(app, path),
    async close() {
      await Promise.all([closeDatabase(reader), closeDatabase(writer)]);
      await drop();
    },
  };
}

/** The fields that tests look at in one answer or another; the schemas of telemetry's `api` check whole answers. */
export interface AnswerBody {
  items: (SpanItem & LogItem)[];
  page: number;
  size: number;
  next_cursor: string | null;
  spans: SpanItem[];
}

export interface Answer {
  status: number;
  headers: Headers;
  text: string;
  /** The text parsed, where it is JSON. */
  body: AnswerBody;
}

export async function get(app: TestApp, path: string, init: RequestInit = {}): Promise<Answer> {
  const response = await app.request(path, init);
  const text = await response.text();
  const isJson = response.headers.get("content-type")?.includes("json") ?? false;
  return {
    status: response.status,
    headers: response.headers,
    text,
    body: JSON.parse(isJson && text !== "" ? text : "{}"),
  };
}

/** Milliseconds since the epoch, as of `minutes` ago; a whole millisecond, so that it is easy to compare. */
export function minutesAgo(minutes: number): number {
  return Math.floor(Date.now() - minutes * 60_000);
}
