/** The whole path with every app as the process it is: Kafka → store → query API, and → live errors. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { logList, spanList } from "@timespan/telemetry/api/list-answer";
import type { LogItem } from "@timespan/telemetry/api/log-item";
import type { SpanItem } from "@timespan/telemetry/api/span-item";
import { traceAnswer } from "@timespan/telemetry/api/trace-answer";
import { logEvent, randomHex, spanEvent, uniqueName } from "@timespan/testing/events";
import { produce } from "@timespan/testing/produce";
import { eventually, type RunningApp, runApp } from "@timespan/testing/run-app";
import { createTestDatabase, type TestDatabase } from "@timespan/testing/test-database";
import { testEngines, testEnvironment } from "@timespan/testing/test-environment";

/** What the issue of a live channel is about: an error is on the screen within this time. */
const LIVE_MS_MAX = 1_000;

for (const { engine, present } of testEngines()) {
  describe.skipIf(!present)(`from Kafka to the API and the live channel, on ${engine}`, () => {
    const name = uniqueName("apm");
    const topics = { spans: `${name}.spans`, logs: `${name}.logs` };
    let created: TestDatabase;
    let api: RunningApp;
    const apps: RunningApp[] = [];
    let errorStream: RunningApp;

    beforeAll(async () => {
      created = await createTestDatabase(engine);
      const env = {
        DATABASE_URL: created.url,
        KAFKA_BROKERS: testEnvironment().kafkaBrokers.join(","),
        KAFKA_APM_SPAN_TOPIC: topics.spans,
        KAFKA_APM_LOG_TOPIC: topics.logs,
        KAFKA_APM_LOG_ERROR_TOPIC: `${name}.errors`,
        KAFKA_OTLP_SPAN_TOPIC: `${name}.otlp_spans`,
        KAFKA_OTLP_LOG_TOPIC: `${name}.otlp_logs`,
        KAFKA_CONSUMER_GROUP: name,
        KAFKA_TOPIC_PARTITIONS: "3",
      };
      const processor = await runApp("stream-processor", "STREAM_PROCESSOR_PORT", env);
      apps.push(processor);
      [api, errorStream] = await Promise.all([
        runApp("query-api", "PORT", env),
        runApp("error-stream", "ERROR_STREAM_PORT", env),
      ]);
      apps.push(api, errorStream);
    });
    afterAll(async () => {
      await Promise.all(apps.map((app) => app.stop()));
      await created?.drop();
    });

    const get = async (path: string) => (await fetch(api.url + path)).json();
    const getSpans = async (service: string, sort = "start_time_desc") =>
      spanList.parse(await get(`/query/spans?service_name=${service}&sort=${sort}`));
    const getLogs = async (service: string) =>
      logList.parse(await get(`/query/logs?service_name=${service}`));
    /** Undefined until the trace is there. */
    const getTrace = async (traceId: string) =>
      traceAnswer.safeParse(await get(`/query/traces/${traceId}`)).data;

    test("produced spans and logs come out of the API, field by field", async () => {
      const service = uniqueName("svc");
      const traceId = randomHex(16);
      const root = spanEvent({
        service_name: service,
        environment: "prod",
        trace_id: traceId,
        timestamp: new Date(Date.now() - 2_000).toISOString(),
        duration_ms: 150.25,
      });
      const child = spanEvent({
        service_name: service,
        trace_id: traceId,
        parent_span_id: root.span_id,
        name: "SELECT orders",
        kind: "CLIENT",
        status: "ERROR",
        timestamp: new Date(Date.now() - 1_950).toISOString(),
        duration_ms: 20.5,
        labels: { "db.system": "postgresql", rows: 3 },
      });
      const log = logEvent({
        service_name: service,
        trace_id: traceId,
        span_id: child.span_id,
        level: "WARN",
      });
      // Parents may come after their children, and in any partition.
      await produce(topics.spans, [child, root]);
      await produce(topics.logs, [log]);
      await eventually(
        async () => {
          const found = await getTrace(traceId);
          return found?.spans.length === 2 && found.logs.length === 1;
        },
        { what: "the trace to be queryable" },
      );

      const expectedSpan = (event: typeof root): SpanItem => ({
        timestamp: event.timestamp.replace("Z", "000Z"),
        span_id: event.span_id,
        parent_span_id: event.parent_span_id,
        name: event.name,
        kind: event.kind,
        duration_ms: event.duration_ms,
        status: event.status,
        service_name: service,
        environment: "production",
        trace_id: traceId,
        labels: event.labels ?? {},
        http_method: event.http_method ?? null,
        http_path: event.http_path ?? null,
        http_status_code: event.http_status_code ?? null,
      });
      const expectedLog: LogItem = {
        timestamp: log.timestamp.replace("Z", "000Z"),
        level: "WARN",
        message: log.message,
        service_name: service,
        environment: "production",
        trace_id: traceId,
        span_id: child.span_id,
        labels: log.labels ?? {},
      };
      const trace = await getTrace(traceId);
      expect(trace?.spans).toEqual([root, child].map((event) => expectedSpan(event)));
      expect(trace?.logs).toEqual([expectedLog]);
      expect(trace?.summary).toMatchObject({
        span_count: 2,
        error_count: 1,
        service_count: 1,
        root_span_id: root.span_id,
        orphan_span_count: 0,
        complete: true,
        duration_ms: 150.25,
      });

      const spans = await getSpans(service, "duration_desc");
      expect(spans.items).toEqual([root, child].map((event) => expectedSpan(event)));
      expect(spans.total).toBe(2);
      expect((await getLogs(service)).items).toEqual([expectedLog]);
    });

    test("the same records produced twice are two rows, and a trace shows identical spans once", async () => {
      const service = uniqueName("svc");
      const span = spanEvent({ service_name: service });
      await produce(topics.spans, [span, span]);
      await eventually(async () => (await getSpans(service)).total === 2, {
        what: "both records to be stored",
      });
      const trace = await getTrace(span.trace_id);
      expect(trace?.spans).toHaveLength(1);
    });

    test(`an ERROR log reaches a WebSocket client within ${LIVE_MS_MAX} ms, and the store too`, async () => {
      const service = uniqueName("svc");
      const socket = new WebSocket(`${errorStream.url.replace("http", "ws")}/ws/error-logs`);
      const received = Promise.withResolvers<{ atMs: number; frame: { event: string; data: object } }>();
      socket.onmessage = ({ data }) => {
        const frame = JSON.parse(String(data));
        if (frame.data.service_name === service) received.resolve({ atMs: Date.now(), frame });
      };
      await new Promise((resolve) => {
        socket.onopen = resolve;
      });
      const log = logEvent({ service_name: service, level: "ERROR", message: "payment refused" });
      await produce(topics.logs, [logEvent({ service_name: service }), log]);
      const producedAtMs = Date.now();
      const { atMs, frame } = await received.promise;
      expect(frame).toMatchObject({
        event: "error-log",
        data: {
          timestamp: log.timestamp.replace("Z", "000Z"),
          service_name: service,
          environment: "production",
          level: "ERROR",
          message: "payment refused",
          trace_id: log.trace_id,
          span_id: log.span_id,
          labels: log.labels,
        },
      });
      expect(atMs - producedAtMs).toBeLessThan(LIVE_MS_MAX);
      await eventually(async () => (await getLogs(service)).total === 2, {
        what: "both logs to be stored",
      });
      socket.close();
    });

    test("every app is alive and ready", async () => {
      for (const app of apps) {
        expect((await fetch(`${app.url}/health`)).status).toBe(200);
        expect((await fetch(`${app.url}/ready`)).status).toBe(200);
        expect((await fetch(`${app.url}/metrics`)).status).toBe(200);
      }
    });
  });
}
