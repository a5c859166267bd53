/**
 * Real OpenTelemetry: what the official JavaScript SDK records, serialised by its own exporter and written to Kafka as
 * the Collector does, in every compression, is what the database and the query API give back.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type HrTime, ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import {
  JsonLogsSerializer,
  JsonTraceSerializer,
  ProtobufLogsSerializer,
  ProtobufTraceSerializer,
} from "@opentelemetry/otlp-transformer";
import { resourceFromAttributes } from "@opentelemetry/resources";
import {
  InMemoryLogRecordExporter,
  LoggerProvider,
  type ReadableLogRecord,
  SimpleLogRecordProcessor,
} from "@opentelemetry/sdk-logs";
import {
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
  TracerProvider,
} from "@opentelemetry/sdk-trace";
import { CompressionTypes } from "@timespan/broker/connect-kafka";
import { closeDatabase, type Database } from "@timespan/store/database";
import { logList } from "@timespan/telemetry/api/list-answer";
import { traceAnswer } from "@timespan/telemetry/api/trace-answer";
import { formatTimestamp } from "@timespan/telemetry/timestamp";
import { uniqueName } from "@timespan/testing/events";
import { testKafka } from "@timespan/testing/produce";
import { eventually, type RunningApp, runApp } from "@timespan/testing/run-app";
import { createTestDatabase, openAsSuperuser, type TestDatabase } from "@timespan/testing/test-database";
import { testEngines, testEnvironment } from "@timespan/testing/test-environment";

const protobuf = { trace: ProtobufTraceSerializer, logs: ProtobufLogsSerializer };
const json = { trace: JsonTraceSerializer, logs: JsonLogsSerializer };
const ways = [
  ["otlp_proto, not compressed", protobuf, CompressionTypes.None],
  ["otlp_proto, gzip", protobuf, CompressionTypes.GZIP],
  ["otlp_proto, snappy", protobuf, CompressionTypes.Snappy],
  ["otlp_proto, lz4", protobuf, CompressionTypes.LZ4],
  ["otlp_proto, zstd", protobuf, CompressionTypes.ZSTD],
  ["otlp_json, zstd", json, CompressionTypes.ZSTD],
] as const;

/** Traces of one shop and its warehouse, with whatever the SDK can put into spans and log records. */
function record(service: string): { spans: ReadableSpan[]; logs: ReadableLogRecord[] } {
  const shop = provider({
    "service.name": service,
    "deployment.environment.name": "production",
    "service.version": "1.2.3",
    "process.command_args": ["serve", "--fast"],
  });
  const warehouse = provider({ "service.name": `${service}-warehouse`, "deployment.environment": "prod" });
  for (let order = 0; order < 5; order++) {
    const root = shop.tracer.startSpan("POST /orders", {
      kind: SpanKind.SERVER,
      attributes: {
        "http.request.method": "POST",
        "url.path": `/orders/${order}`,
        "http.route": "/orders/{id}",
        "http.response.status_code": 201,
        "shop.items": ["tea", "cup"],
        "shop.weights": [0.5, 2],
        "shop.gift": order % 2 === 0,
        "shop.total": 12.5,
      },
    });
    const inRoot = trace.setSpan(ROOT_CONTEXT, root);
    const call = shop.tracer.startSpan(
      "reserve",
      {
        kind: SpanKind.CLIENT,
        attributes: { "peer.service": `${service}-warehouse`, "http.url": "http://warehouse/reserve?n=1" },
        links: [{ context: root.spanContext(), attributes: { reason: "batch" } }],
      },
      inRoot,
    );
    const remote = warehouse.tracer.startSpan(
      "reserve",
      { kind: SpanKind.CONSUMER },
      trace.setSpan(ROOT_CONTEXT, call),
    );
    remote.addEvent("shelf.empty", { "shelf.number": 7 });
    remote.recordException(new Error(`nothing left of ${order}`));
    remote.setStatus({ code: SpanStatusCode.ERROR, message: "nothing left" });
    warehouse.logger.emit({
      severityNumber: 17,
      severityText: "ERROR",
      body: `nothing left of ${order}`,
      attributes: { order },
      context: trace.setSpan(ROOT_CONTEXT, remote),
    });
    shop.logger.emit({ severityNumber: 9, body: { order, items: ["tea", "cup"] }, context: inRoot });
    remote.end();
    call.end();
    root.setStatus({ code: SpanStatusCode.OK });
    root.end();
  }
  return {
    // A request of several resources, children before their parents, as the Collector's batches have them.
    spans: [...shop.spans.getFinishedSpans(), ...warehouse.spans.getFinishedSpans()],
    logs: [...shop.logs.getFinishedLogRecords(), ...warehouse.logs.getFinishedLogRecords()],
  };
}

function provider(attributes: Record<string, string | string[]>) {
  const spans = new InMemorySpanExporter();
  const logs = new InMemoryLogRecordExporter();
  const resource = resourceFromAttributes(attributes);
  const tracers = new TracerProvider({
    resource,
    spanProcessors: [new SimpleSpanProcessor({ exporter: spans })],
  });
  const loggers = new LoggerProvider({
    resource,
    processors: [new SimpleLogRecordProcessor({ exporter: logs })],
  });
  return { tracer: tracers.getTracer("shop", "4.5.6"), logger: loggers.getLogger("shop"), spans, logs };
}

const microseconds = ([seconds, nanos]: HrTime) => seconds * 1_000_000 + Math.floor(nanos / 1_000);
const environmentOf = ({ resource }: { resource: ReadableSpan["resource"] }) =>
  "deployment.environment" in resource.attributes
    ? "production"
    : String(resource.attributes["deployment.environment.name"]);

/** What the API must say of a span. */
function expectedItem(span: ReadableSpan) {
  const { attributes } = span;
  const url = attributes["http.url"] === undefined ? attributes["url.path"] : "/reserve";
  return {
    timestamp: formatTimestamp(microseconds(span.startTime)),
    trace_id: span.spanContext().traceId,
    span_id: span.spanContext().spanId,
    parent_span_id: span.parentSpanContext?.spanId ?? null,
    name: span.name,
    kind: SpanKind[span.kind],
    duration_ms: Math.round(span.duration[0] * 1e6 + span.duration[1] / 1e3) / 1e3,
    status: SpanStatusCode[span.status.code],
    service_name: span.resource.attributes["service.name"],
    environment: environmentOf(span),
    http_method: attributes["http.request.method"] ?? null,
    http_path: url ?? null,
    http_status_code: attributes["http.response.status_code"] ?? null,
    labels: { ...attributes, "otel.scope.name": "shop", "otel.scope.version": "4.5.6" },
  };
}

/** What the row has beyond what the API shows. */
function expectedRow(span: ReadableSpan) {
  return {
    span_id: span.spanContext().spanId,
    status_message: span.status.message ?? null,
    peer_service: span.attributes["peer.service"] ?? null,
    endpoint:
      span.name === "POST /orders"
        ? "POST /orders/{id}"
        : span.name === "reserve" && span.kind === SpanKind.CLIENT
          ? "/reserve"
          : span.name,
    events:
      span.events.length === 0
        ? null
        : span.events.map(({ time, name, attributes }) => ({
            time: formatTimestamp(microseconds(time)),
            name,
            attributes: attributes ?? {},
          })),
    links:
      span.links.length === 0
        ? null
        : span.links.map(({ context, attributes }) => ({
            trace_id: context.traceId,
            span_id: context.spanId,
            attributes: attributes ?? {},
          })),
    resource: span.resource.attributes,
  };
}

function expectedLog(log: ReadableLogRecord) {
  return {
    timestamp: formatTimestamp(microseconds(log.hrTime)),
    level: log.severityNumber === 17 ? "ERROR" : "INFO",
    message: typeof log.body === "string" ? log.body : JSON.stringify(log.body),
    service_name: log.resource.attributes["service.name"],
    environment: environmentOf(log),
    trace_id: log.spanContext?.traceId,
    span_id: log.spanContext?.spanId,
    labels: { ...log.attributes, "otel.scope.name": "shop" },
  };
}

for (const { engine, present } of testEngines()) {
  describe.skipIf(!present)(`what the OpenTelemetry SDK records, on ${engine}`, () => {
    const name = uniqueName("apm");
    const topics = { spans: `${name}.otlp_spans`, logs: `${name}.otlp_logs` };
    const apps: RunningApp[] = [];
    let created: TestDatabase;
    let database: Database;
    let api: RunningApp;

    beforeAll(async () => {
      created = await createTestDatabase(engine);
      database = openAsSuperuser(created.url);
      const env = {
        DATABASE_URL: created.url,
        KAFKA_BROKERS: testEnvironment().kafkaBrokers.join(","),
        KAFKA_APM_SPAN_TOPIC: `${name}.spans`,
        KAFKA_APM_LOG_TOPIC: `${name}.logs`,
        KAFKA_APM_LOG_ERROR_TOPIC: `${name}.errors`,
        KAFKA_OTLP_SPAN_TOPIC: topics.spans,
        KAFKA_OTLP_LOG_TOPIC: topics.logs,
        KAFKA_CONSUMER_GROUP: name,
        KAFKA_TOPIC_PARTITIONS: "2",
        BULK_FLUSH_INTERVAL_MS: "100",
        WORKERS: "1",
      };
      apps.push(await runApp("stream-processor", "STREAM_PROCESSOR_PORT", env));
      api = await runApp("query-api", "PORT", env);
      apps.push(api);
    });
    afterAll(async () => {
      await Promise.all(apps.map((app) => app.stop()));
      await closeDatabase(database);
      await created?.drop();
    });

    const get = async (path: string) => (await fetch(api.url + path)).json();

    test.each(ways)("%s", async (_, serializers, compression) => {
      const service = uniqueName("shop");
      const recorded = record(service);
      const producer = testKafka().producer();
      await producer.connect();
      // No key and no headers, as the Collector writes.
      const send = (topic: string, value: Uint8Array | undefined) =>
        producer.send({ topic, compression, messages: [{ value: Buffer.from(value ?? []) }] });
      await send(topics.spans, serializers.trace.serializeRequest(recorded.spans));
      await send(topics.logs, serializers.logs.serializeRequest(recorded.logs));
      await producer.disconnect();

      const traceIds = [...new Set(recorded.spans.map((span) => span.spanContext().traceId))];
      expect(traceIds).toHaveLength(5);
      for (const traceId of traceIds) {
        await eventually(
          async () => {
            const { data } = traceAnswer.safeParse(await get(`/query/traces/${traceId}`));
            return data?.spans.length === 3 && data.logs.length === 2;
          },
          { what: `trace ${traceId}` },
        );
        const { spans } = traceAnswer.parse(await get(`/query/traces/${traceId}`));
        const expected = recorded.spans
          .filter((span) => span.spanContext().traceId === traceId)
          .map(expectedItem);
        expect<unknown>(spans.toSorted(bySpanId)).toEqual(expected.toSorted(bySpanId));
      }

      const rows = await database`
        SELECT lpad(to_hex(span_id), 16, '0') AS span_id, status_message, peer_service, endpoint, events, links,
               resources.attributes AS resource
        FROM timespan.spans JOIN timespan.resources USING (resource_id)
        WHERE service_name IN (${service}, ${`${service}-warehouse`})`;
      expect<unknown>([...rows].toSorted(bySpanId)).toEqual(
        recorded.spans.map(expectedRow).toSorted(bySpanId),
      );

      const logs = await Promise.all(
        [service, `${service}-warehouse`].map(async (each) =>
          logList.parse(await get(`/query/logs?service_name=${each}`)),
        ),
      );
      expect<unknown>(logs.flatMap(({ items }) => items).toSorted(bySpanId)).toEqual(
        recorded.logs.map(expectedLog).toSorted(bySpanId),
      );
    });

    test("nothing of it became a dead letter", async () => {
      expect([...(await database`SELECT reason, detail FROM timespan.dead_letters`)]).toEqual([]);
    });
  });
}

function bySpanId(a: { span_id?: unknown }, b: { span_id?: unknown }): number {
  return String(a.span_id) < String(b.span_id) ? -1 : 1;
}
