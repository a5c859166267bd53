import { describe, expect, test } from "bun:test";
import type { SpanItem } from "@timespan/telemetry/api/span-item";
import { formatTimestamp } from "@timespan/telemetry/timestamp";
import { summarizeTrace } from "../src/traces/summarize-trace.ts";

const BASE_US = Date.UTC(2026, 10, 21) * 1_000;

function span(fields: Partial<SpanItem> & { startUs?: number } = {}): SpanItem {
  const { startUs = 0, ...given } = fields;
  return {
    timestamp: formatTimestamp(BASE_US + startUs),
    trace_id: "0af7651916cd43dd8448eb211c80319c",
    span_id: "00f067aa0ba902b7",
    parent_span_id: null,
    name: "GET /",
    kind: "SERVER",
    duration_ms: 1,
    status: "OK",
    service_name: "web",
    environment: "production",
    http_method: null,
    http_path: null,
    http_status_code: null,
    labels: {},
    ...given,
  };
}

describe("the summary of a trace", () => {
  test("lasts from the first start to the last end, to the microsecond", () => {
    const spans = [
      span({ startUs: 0, duration_ms: 0.3 }),
      span({ startUs: 100, duration_ms: 1.1, span_id: "b".repeat(16), parent_span_id: "00f067aa0ba902b7" }),
    ];
    expect(summarizeTrace(spans, true)).toMatchObject({
      duration_ms: 1.2,
      start_time: formatTimestamp(BASE_US),
    });
  });

  test("takes the earliest of several roots", () => {
    const spans = [span({ span_id: "a".repeat(16) }), span({ startUs: 1, span_id: "b".repeat(16) })];
    expect(summarizeTrace(spans, true)).toMatchObject({ root_span_id: "a".repeat(16), complete: true });
  });

  test("takes a span that names itself as parent for no root and no orphan", () => {
    expect(summarizeTrace([span({ parent_span_id: "00f067aa0ba902b7" })], true)).toMatchObject({
      root_span_id: null,
      orphan_span_count: 0,
      complete: false,
    });
  });

  test("is not complete where not all spans were read", () => {
    expect(summarizeTrace([span()], true).complete).toBe(true);
    expect(summarizeTrace([span()], false).complete).toBe(false);
  });
});
