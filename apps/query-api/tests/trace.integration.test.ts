import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { TRACE_LOGS_MAX, TRACE_SPANS_MAX } from "@timespan/store/traces/find-trace";
import { problem } from "@timespan/telemetry/api/problem";
import { traceAnswer } from "@timespan/telemetry/api/trace-answer";
import { formatTimestamp } from "@timespan/telemetry/timestamp";
import { logEvent, randomHex, spanEvent } from "@timespan/testing/events";
import { testEngines } from "@timespan/testing/test-environment";
import { expectedLog, expectedSpan } from "./expected-items.ts";
import { minutesAgo, startTestApi, type TestApi } from "./test-api.ts";

const BASE_US = minutesAgo(60) * 1_000;
const at = (ms: number) => formatTimestamp(BASE_US + ms * 1_000);

for (const { engine, present } of testEngines()) {
  describe.skipIf(!present)(`GET /query/traces/:traceId on ${engine}`, () => {
    let api: TestApi;
    beforeAll(async () => {
      api = await startTestApi(engine);
    });
    afterAll(() => api?.close());

    const find = async (path: string) => {
      const { status, body } = await api.get(`/query/traces/${path}`);
      expect({ status, body }).toMatchObject({ status: 200 });
      return traceAnswer.parse(body);
    };

    test("shows the whole trace, oldest first, although it arrived in pieces and out of order", async () => {
      const trace_id = randomHex(16);
      const root = spanEvent({ trace_id, timestamp: at(0), duration_ms: 100.5, span_id: "00000000000000aa" });
      const child = spanEvent({
        trace_id,
        timestamp: at(1),
        parent_span_id: root.span_id,
        kind: "CLIENT",
        duration_ms: 200.25,
        status: "ERROR",
      });
      const grandchild = spanEvent({
        trace_id,
        timestamp: at(1.5),
        parent_span_id: child.span_id,
        service_name: "payment",
        environment: "stage",
        duration_ms: 0,
      });
      const early = logEvent({ trace_id, timestamp: at(-30_000), level: "WARN" });
      const late = logEvent({ trace_id, timestamp: at(45_000), service_name: "payment" });
      await api.store([grandchild, late, spanEvent({ timestamp: at(0) })]);
      await api.store([child]);
      await api.store([early, root, logEvent({ timestamp: at(0) })]);

      const answer = await find(trace_id);
      expect(answer).toEqual({
        trace_id,
        summary: {
          span_count: 3,
          error_count: 1,
          duration_ms: 201.25,
          start_time: at(0),
          service_count: 2,
          root_span_id: "00000000000000aa",
          orphan_span_count: 0,
          complete: true,
        },
        spans: [root, child, grandchild].map(expectedSpan),
        spans_truncated: false,
        logs: [early, late].map(expectedLog),
        logs_truncated: false,
      });

      const dashed = `${trace_id.slice(0, 8)}-${trace_id.slice(8, 12)}-${trace_id.slice(12, 16)}-${trace_id.slice(16, 20)}-${trace_id.slice(20)}`;
      for (const form of [trace_id.toUpperCase(), dashed]) expect(await find(form)).toEqual(answer);

      const ofPayment = await find(`${trace_id}?service=payment`);
      expect(ofPayment.spans).toEqual([expectedSpan(grandchild)]);
      expect(ofPayment.logs).toEqual([expectedLog(late)]);
      expect(ofPayment.summary).toEqual(answer.summary);
      expect((await find(`${trace_id}?environment=prod`)).spans).toEqual([root, child].map(expectedSpan));
      expect((await find(`${trace_id}?environment=staging&service=payment`)).spans).toHaveLength(1);
      expect(await find(`${trace_id}?service=nobody`)).toMatchObject({
        spans: [],
        logs: [],
        summary: answer.summary,
      });
    });

    test("finds a trace by 16 hex digits, as producers of 64-bit ids write it", async () => {
      const short = randomHex(8);
      await api.store([spanEvent({ trace_id: short, timestamp: at(0) })]);
      const answer = await find(short);
      expect(answer.trace_id).toBe(`0000000000000000${short}`);
      expect(await find(`0000000000000000${short}`)).toEqual(answer);
    });

    test("shows a span that was sent twice once, and two spans of one id that differ as two", async () => {
      const trace_id = randomHex(16);
      const span_id = randomHex(8);
      const shared = { trace_id, span_id, timestamp: at(0), duration_ms: 5 };
      const client = spanEvent({ ...shared, kind: "CLIENT", service_name: "web" });
      const server = spanEvent({ ...shared, kind: "SERVER", service_name: "api" });
      await api.store([client, server, client]);
      await api.store([server]);
      const later = spanEvent({ ...shared, kind: "SERVER", service_name: "api", timestamp: at(0.001) });
      const longer = spanEvent({ ...shared, kind: "SERVER", service_name: "api", duration_ms: 5.001 });
      await api.store([later, longer]);
      const answer = await find(trace_id);
      expect(answer.spans).toEqual([client, server, longer, later].map(expectedSpan));
      expect(answer.summary.span_count).toBe(4);
    });

    test("says that a trace is not complete: without its root, or with parents missing", async () => {
      const trace_id = randomHex(16);
      const orphan = spanEvent({ trace_id, timestamp: at(0), parent_span_id: randomHex(8) });
      await api.store([orphan]);
      expect((await find(trace_id)).summary).toMatchObject({
        root_span_id: null,
        orphan_span_count: 1,
        complete: false,
      });
      const root = spanEvent({ trace_id, timestamp: at(-1) });
      await api.store([root]);
      expect((await find(trace_id)).summary).toMatchObject({
        root_span_id: root.span_id,
        orphan_span_count: 1,
        complete: false,
      });
    });

    test("shows a trace of which only logs are stored", async () => {
      const log = logEvent({ timestamp: at(0) });
      await api.store([log]);
      expect(await find(log.trace_id)).toEqual({
        trace_id: log.trace_id,
        summary: {
          span_count: 0,
          error_count: 0,
          duration_ms: null,
          start_time: null,
          service_count: 0,
          root_span_id: null,
          orphan_span_count: 0,
          complete: false,
        },
        spans: [],
        spans_truncated: false,
        logs: [expectedLog(log)],
        logs_truncated: false,
      });
    });

    test("cuts a trace that never ends, says so, and shows the rest by service", async () => {
      const trace_id = randomHex(16);
      const spans = Array.from({ length: TRACE_SPANS_MAX + 1 }, (_, n) =>
        spanEvent({ trace_id, timestamp: at(n), service_name: n === TRACE_SPANS_MAX ? "last" : "loop" }),
      );
      const logs = Array.from({ length: TRACE_LOGS_MAX + 1 }, (_, n) =>
        logEvent({ trace_id, timestamp: at(n) }),
      );
      await api.store([...spans, ...logs]);
      const answer = await find(trace_id);
      expect(answer.spans).toHaveLength(TRACE_SPANS_MAX);
      expect(answer.logs).toHaveLength(TRACE_LOGS_MAX);
      expect(answer).toMatchObject({
        spans_truncated: true,
        logs_truncated: true,
        summary: { complete: false },
      });
      const last = await find(`${trace_id}?service=last`);
      expect(last).toMatchObject({ spans_truncated: false, spans: [{ service_name: "last" }] });
    });

    test("answers 404 for a trace of which nothing is stored", async () => {
      const unknown = randomHex(16);
      for (const path of [unknown, `${unknown}?service=a&environment=b`]) {
        const { status, body } = await api.get(`/query/traces/${path}`);
        expect(status).toBe(404);
        expect(problem.parse(body)).toMatchObject({
          title: "Trace not found",
          detail: expect.stringContaining(unknown),
        });
      }
    });

    test.each(["xyz", "12", "0".repeat(32), "g".repeat(32), "%00", `${"a".repeat(33)}`, "..%2F..%2Fetc"])(
      "answers 400 for the id %s",
      async (id) => {
        const { status, body } = await api.get(`/query/traces/${id}`);
        expect(status).toBe(400);
        expect(problem.parse(body).errors).toEqual([{ name: "traceId", reason: expect.any(String) }]);
      },
    );
  });
}
