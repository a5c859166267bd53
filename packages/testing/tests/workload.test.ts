import { describe, expect, test } from "bun:test";
import { decodeLogEvent } from "@timespan/telemetry/wire/decode-log-event";
import { decodeSpanEvent } from "@timespan/telemetry/wire/decode-span-event";
import {
  canonicalSpans,
  ENDPOINT_COUNT,
  ENVIRONMENTS,
  KINDS,
  SERVICE_COUNT,
} from "../src/workload/canonical.ts";
import type { SpanEvent } from "../src/workload/events.ts";
import { createShop, INCOMPLETE_TRACE_SHARE } from "../src/workload/shop.ts";

const SEED = 7;
const FROM_MS = Date.parse("2026-03-02T10:00:00Z");
const HOUR_MS = 3_600_000;
const shop = createShop({ seed: SEED, tracesPerSecond: 2 });
const traces = shop.startTimes(FROM_MS, FROM_MS + 3 * HOUR_MS).map((startMs) => {
  return { startMs, ...shop.trace(startMs) };
});
const spans = traces.flatMap((trace) => trace.spans);

const bytesOf = (event: object) => new TextEncoder().encode(JSON.stringify(event));
/** Microseconds since the Unix epoch; `Date.parse` alone would stop at milliseconds. */
const startUs = (span: SpanEvent) =>
  Date.parse(`${span.timestamp.slice(0, 19)}Z`) * 1_000 + Number(span.timestamp.slice(20, 26));
const endUs = (span: SpanEvent) => startUs(span) + Math.round(span.duration_ms * 1_000);
const hasLostSpan = ({ spans }: { spans: readonly SpanEvent[] }) => {
  const ids = new Set(spans.map((span) => span.span_id));
  return spans.some((span) => span.parent_span_id !== null && !ids.has(span.parent_span_id));
};

describe("the shop", () => {
  test("does the same again for the same seed and time, in any window and order", () => {
    const again = createShop({ seed: SEED, tracesPerSecond: 2 });
    const [fromMs, toMs] = [FROM_MS + HOUR_MS + 250, FROM_MS + HOUR_MS + 9_750];
    const window = traces.filter(({ startMs }) => startMs >= fromMs && startMs < toMs);
    const times = again.startTimes(fromMs, toMs);
    expect(times).toEqual(window.map(({ startMs }) => startMs));
    const backwards = times.toReversed().map((startMs) => ({ startMs, ...again.trace(startMs) }));
    expect(backwards.toReversed()).toEqual(window);
    expect(createShop({ seed: SEED + 1 }).trace(FROM_MS)).not.toEqual(shop.trace(FROM_MS));
  });

  test("writes only events that the product's decoders accept", () => {
    for (const { spans, logs } of traces.slice(0, 2_000)) {
      for (const span of spans) expect(decodeSpanEvent(bytesOf(span), 0).ok).toBe(true);
      for (const log of logs) expect(decodeLogEvent(bytesOf(log), 0).ok).toBe(true);
    }
  });

  test("never draws an id twice, and draws whole ones", () => {
    expect(new Set(traces.flatMap(({ spans }) => spans[0]?.trace_id ?? [])).size).toBe(traces.length);
    expect(new Set(spans.map((span) => span.span_id)).size).toBe(spans.length);
    for (const { trace_id, span_id } of spans) {
      if (!/^[0-9a-f]{32}$/.test(trace_id) || !/^[0-9a-f]{16}$/.test(span_id)) expect.unreachable(trace_id);
      if (/^0+$/.test(trace_id) || /^0+$/.test(span_id)) expect.unreachable("an id of zeros");
    }
  });

  test("covers ten services, both environments, and every kind of span", () => {
    expect(new Set(spans.map((span) => span.service_name)).size).toBe(10);
    expect([...new Set(spans.map((span) => span.environment))].sort()).toEqual(["production", "staging"]);
    expect([...new Set(spans.map((span) => span.kind))].sort()).toEqual([
      "CLIENT",
      "CONSUMER",
      "INTERNAL",
      "PRODUCER",
      "SERVER",
    ]);
    const peerless = spans.filter((span) => span.kind === "CLIENT" && !span.labels?.["peer.service"]);
    expect(peerless).toEqual([]);
  });

  test("keeps children within their parents' time, and consumers after their producers", () => {
    for (const { spans } of traces) {
      const byId = new Map(spans.map((span) => [span.span_id, span]));
      for (const span of spans) {
        const parent = byId.get(span.parent_span_id ?? "");
        if (parent === undefined) continue;
        const earliestUs = span.kind === "CONSUMER" ? endUs(parent) : startUs(parent);
        if (startUs(span) < earliestUs) expect.unreachable(`${span.name} starts before ${parent.name}`);
        if (span.kind !== "CONSUMER" && endUs(span) > endUs(parent))
          expect.unreachable(`${span.name} outlives ${parent.name}`);
      }
    }
  });

  test("sends spans in the order they end, so that most children come before their parents", () => {
    for (const { spans } of traces) {
      const ends = spans.map(endUs);
      expect(ends).toEqual(ends.toSorted((x, y) => x - y));
    }
  });

  test("writes every log about a trace that exists, and about a span of it unless that one was lost", () => {
    for (const trace of traces) {
      const ids = new Set(trace.spans.map((span) => span.span_id));
      for (const log of trace.logs) {
        if (log.trace_id !== trace.spans[0]?.trace_id) expect.unreachable(`stray log: ${log.message}`);
        if (!ids.has(log.span_id) && !hasLostSpan(trace)) expect.unreachable(`no span: ${log.message}`);
      }
    }
  });

  test("explains every failed server span by an ERROR log, and passes the failure on to its caller", () => {
    const failed = traces.flatMap(({ spans, logs }) =>
      spans
        .filter((span) => span.kind === "SERVER" && span.status === "ERROR")
        .map((span) => ({ span, spans, logs })),
    );
    expect(failed.length).toBeGreaterThan(50);
    for (const { span, spans, logs } of failed) {
      expect(span.http_status_code).toBeGreaterThanOrEqual(500);
      expect(logs.some((log) => log.level === "ERROR" && log.span_id === span.span_id)).toBe(true);
      const caller = spans.find((other) => other.span_id === span.parent_span_id);
      expect(caller?.status ?? "ERROR").toBe("ERROR");
    }
  });

  test("loses a span with children in the documented share of traces", () => {
    const share = traces.filter(hasLostSpan).length / traces.length;
    // Four standard deviations of a binomial: one seed in 16,000 would miss by chance, and this one does not.
    const tolerance = 4 * Math.sqrt(INCOMPLETE_TRACE_SHARE / traces.length);
    expect(Math.abs(share - INCOMPLETE_TRACE_SHARE)).toBeLessThan(tolerance);
  });

  test("varies: the rate by its wave, errors and latency by its incidents", () => {
    const rates = Array.from({ length: 180 }, (_, minute) => shop.ratePerSecond(FROM_MS + minute * 60_000));
    expect(Math.max(...rates) / Math.min(...rates)).toBeGreaterThan(1.3);

    const during = (service: string, incident: string | undefined) =>
      traces
        .filter(({ startMs }) => {
          const names = shop.incidents(startMs).map(({ name }) => name);
          return incident === undefined ? names.length === 0 : names.includes(incident);
        })
        .flatMap(({ spans }) => spans)
        .filter((span) => span.service_name === service && span.kind === "SERVER")
        .filter((span) => span.environment === "production");
    const errorRate = (spans: SpanEvent[]) =>
      spans.filter((span) => span.status === "ERROR").length / spans.length;
    const medianMs = (spans: SpanEvent[]) =>
      spans.map((span) => span.duration_ms).sort((x, y) => x - y)[Math.floor(spans.length / 2)] ?? Number.NaN;

    const payment = during("payment", "payment provider degraded");
    expect(errorRate(payment)).toBeGreaterThan(5 * errorRate(during("payment", undefined)));
    expect(medianMs(payment)).toBeGreaterThan(4 * medianMs(during("payment", undefined)));
    const inventory = during("inventory", "stock query lost its index");
    expect(medianMs(inventory)).toBeGreaterThan(10 * medianMs(during("inventory", undefined)));
    const search = Object.groupBy(during("search", "bad release of search"), (span) =>
      String(span.labels?.version),
    );
    expect(errorRate(search["4.3.0"] ?? [])).toBeGreaterThan(0.25);
    expect(errorRate(search["4.2.0"] ?? [])).toBeLessThan(0.05);
  });
});

describe("the canonical workload", () => {
  const take = (count: number) =>
    canonicalSpans({ seed: SEED, startMs: FROM_MS, spansPerSecond: 50_000 }).take(count).toArray();

  test("is the same again for the same seed, at the wanted rate", () => {
    const first = take(50_001);
    expect(take(1_000)).toEqual(first.slice(0, 1_000));
    expect(first.at(-1)?.timestamp).toBe("2026-03-02T10:00:01.000000Z");
  });

  test("fills every combination of service, endpoint, environment and kind with acceptable spans", () => {
    const drawn = take(60_000);
    const groups = drawn.map((span) => [span.service_name, span.name, span.environment, span.kind].join("|"));
    const groupCount = SERVICE_COUNT * ENDPOINT_COUNT * ENVIRONMENTS.length * KINDS.length;
    expect(new Set(groups).size).toBe(groupCount);
    for (const span of drawn.slice(0, 1_000)) expect(decodeSpanEvent(bytesOf(span), 0).ok).toBe(true);
    expect(drawn.slice(0, 10).filter((span) => span.parent_span_id === null)).toHaveLength(1);
  });
});
