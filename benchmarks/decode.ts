/**
 * `bun benchmarks/decode.ts`: what decoding alone costs on one thread, in each encoding, for the same spans: from the
 * bytes of a Kafka record to rows, nothing stored. CPU time, so that a busy machine changes little.
 */

import { SPAN_KIND } from "@timespan/telemetry/span-kind";
import { STATUS_CODE } from "@timespan/telemetry/status-code";
import { parseTimestamp } from "@timespan/telemetry/timestamp";
import { decodeSpanEvent } from "@timespan/telemetry/wire/decode-span-event";
import { decodeTraceExport } from "@timespan/telemetry/wire/otlp/decode-trace-export";
import { canonicalSpans } from "@timespan/testing/workload/canonical";
import type { SpanEvent } from "@timespan/testing/workload/events";
import { attributes, encodeProtobuf } from "../packages/telemetry/tests/otlp-encode.ts";

const SPAN_COUNT = 20_000;
const SPANS_PER_REQUEST = 500;
const WARM_UP_MS = 2_000;
const MEASURED_MS = 3_000;

const http = {
  method: "GET",
  route: "/orders/{id}",
  status: 200,
  address: "checkout.internal",
  region: "eu",
};
const events = canonicalSpans({ seed: 7, startMs: Date.UTC(2026, 10, 21), spansPerSecond: 1_000 })
  .take(SPAN_COUNT)
  .toArray();

const jsonEvents = events.map((event, index) =>
  Buffer.from(
    JSON.stringify({
      ...event,
      http_method: http.method,
      http_path: `/orders/${index}`,
      http_status_code: http.status,
      labels: {
        ...event.labels,
        "http.route": http.route,
        "server.address": http.address,
        region: http.region,
      },
    }),
  ),
);
/** As one service sends them, and as a Collector gathers them of sixty: few spans of each resource in a request. */
const ofOne = requests(
  events.map((event) => ({ ...event, service_name: "checkout", environment: "production" })),
);
const ofMany = requests(events);

const cases: [name: string, records: readonly Buffer[], decode: (record: Buffer) => { ok: boolean }][] = [
  ["JSON of the contract", jsonEvents, (record) => decodeSpanEvent(record, 0)],
  ["OTLP protobuf, 1 resource a request", ofOne.map(asProtobuf), (record) => decodeTraceExport(record, 0)],
  ["OTLP protobuf, 60 resources a request", ofMany.map(asProtobuf), (record) => decodeTraceExport(record, 0)],
  ["OTLP JSON, 60 resources a request", ofMany.map(asJson), (record) => decodeTraceExport(record, 0)],
];
for (const [name, records, decode] of cases) {
  const bytes = records.reduce((sum, record) => sum + record.byteLength, 0);
  repeat(records, decode, WARM_UP_MS);
  const { spans, cpuSeconds } = repeat(records, decode, MEASURED_MS);
  console.log(
    `${name.padEnd(38)} ${Math.round(bytes / SPAN_COUNT)} bytes a span   ` +
      `${Math.round(spans / cpuSeconds).toLocaleString("en")} spans a CPU second`,
  );
}

function repeat(records: readonly Buffer[], decode: (record: Buffer) => { ok: boolean }, durationMs: number) {
  const before = process.cpuUsage();
  const end = performance.now() + durationMs;
  let spans = 0;
  do {
    for (const record of records) if (!decode(record).ok) throw new Error("a record was not decoded");
    spans += SPAN_COUNT;
  } while (performance.now() < end);
  const { user, system } = process.cpuUsage(before);
  return { spans, cpuSeconds: (user + system) / 1e6 };
}

function requests(spans: readonly SpanEvent[]): object[] {
  return Array.from({ length: SPAN_COUNT / SPANS_PER_REQUEST }, (_, index) => {
    const start = index * SPANS_PER_REQUEST;
    const groups = Map.groupBy(
      spans.slice(start, start + SPANS_PER_REQUEST),
      ({ service_name, environment }) => `${environment}/${service_name}`,
    );
    const resourceSpans = [...groups.values()].map((group) => ({
      resource: {
        attributes: attributes({
          "service.name": group[0]?.service_name,
          "deployment.environment.name": group[0]?.environment,
          "host.name": "host-1",
          "telemetry.sdk.language": "nodejs",
        }),
      },
      scopeSpans: [{ scope: { name: "http", version: "1.0.0" }, spans: group.map(otlpSpan) }],
    }));
    return { resourceSpans };
  });
}

function otlpSpan(event: SpanEvent, index: number): object {
  const startUs = BigInt(parseTimestamp(event.timestamp) ?? 0);
  return {
    traceId: event.trace_id,
    spanId: event.span_id,
    ...(event.parent_span_id === null ? {} : { parentSpanId: event.parent_span_id }),
    flags: 257,
    name: event.name,
    kind: SPAN_KIND[event.kind],
    startTimeUnixNano: String(startUs * 1_000n),
    endTimeUnixNano: String((startUs + BigInt(Math.round(event.duration_ms * 1_000))) * 1_000n),
    status: { code: STATUS_CODE[event.status] },
    attributes: attributes({
      ...event.labels,
      "http.request.method": http.method,
      "url.path": `/orders/${index}`,
      "http.route": http.route,
      "http.response.status_code": http.status,
      "server.address": http.address,
      region: http.region,
    }),
  };
}

function asProtobuf(request: object): Buffer {
  return encodeProtobuf("spans", request);
}

function asJson(request: object): Buffer {
  return Buffer.from(JSON.stringify(request));
}
