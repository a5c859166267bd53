import { describe, expect, test } from "bun:test";
import { TRUNCATED_KEY } from "../src/attributes.ts";
import { type Guards, NO_GUARDS } from "../src/guards.ts";
import type { LogRecord } from "../src/log-record.ts";
import type { Decoded } from "../src/rejection.ts";
import type { Span } from "../src/span.ts";
import { decodeLogsExport } from "../src/wire/otlp/decode-logs-export.ts";
import { decodeTraceExport } from "../src/wire/otlp/decode-trace-export.ts";
import {
  OTLP_ATTRIBUTES_MAX,
  OTLP_EVENTS_MAX,
  OTLP_ITEMS_MAX,
  OTLP_MESSAGE_BYTES_MAX,
  OTLP_VALUE_DEPTH_MAX,
  TOO_DEEP_VALUE,
} from "../src/wire/otlp/limits.ts";
import { pickLogRecords, pickSpans } from "../src/wire/otlp/pick-items.ts";
import {
  anyValue,
  attributes,
  ENCODINGS,
  logRecord,
  logsRequest,
  PARENT_ID,
  resourceOfShop,
  SPAN_ID,
  START_NANOS,
  START_US,
  span,
  TRACE_ID,
  traceRequest,
} from "./otlp-encode.ts";

const RECORD_TIME_MS = Date.UTC(2026, 10, 21, 12);

function all<T>(decoded: Decoded<Decoded<T>[]>): Decoded<T>[] {
  if (!decoded.ok) throw new Error(`rejected: ${decoded.rejection.reason}: ${decoded.rejection.detail}`);
  return decoded.value;
}

function accepted<T>(decoded: Decoded<T> | undefined): T {
  if (decoded === undefined) throw new Error("there is none");
  if (!decoded.ok) throw new Error(`rejected: ${decoded.rejection.reason}: ${decoded.rejection.detail}`);
  return decoded.value;
}

function rejected(decoded: Decoded<unknown> | undefined) {
  if (decoded === undefined || decoded.ok) throw new Error("was accepted");
  return decoded.rejection;
}

describe.each(ENCODINGS)("%s", (encodingName, encode) => {
  const decodeSpans = (request: object, guards: Guards = NO_GUARDS) =>
    decodeTraceExport(encode("spans", request), RECORD_TIME_MS, guards);
  const decodeLogs = (request: object, guards: Guards = NO_GUARDS) =>
    decodeLogsExport(encode("logs", request), RECORD_TIME_MS, guards);
  const spanOf = (fields: object, resource: object = resourceOfShop): Span =>
    accepted(all(decodeSpans(traceRequest([span(fields)], resource)))[0]);
  const spanWith = (values: Record<string, unknown>, fields: object = {}): Span =>
    spanOf({ attributes: attributes(values), ...fields });
  const spanRejection = (fields: object) => rejected(all(decodeSpans(traceRequest([span(fields)])))[0]);
  const logOf = (fields: object, resource: object = resourceOfShop): LogRecord =>
    accepted(all(decodeLogs(logsRequest([logRecord(fields)], resource)))[0]);

  test("a span becomes a span, field by field", () => {
    const request = {
      resourceSpans: [
        {
          resource: { attributes: attributes({ ...resourceOfShop, "process.pid": 4711 }) },
          scopeSpans: [
            {
              scope: { name: "http", version: "1.2.3", attributes: attributes({ team: "shop" }) },
              spans: [
                span({
                  parentSpanId: PARENT_ID,
                  traceState: "ot=th:c;rv:d29d6a7215ced0,vendor=x",
                  kind: 3,
                  flags: 257,
                  attributes: attributes({
                    "http.request.method": "GET",
                    "url.full": "https://shop.example/orders/4711?secret=1#top",
                    "http.route": "/orders/{id}",
                    "http.response.status_code": 503,
                    "server.address": "shop.example",
                    list: ["a", 1, true, null],
                    nested: { deep: { value: 1.5 } },
                    bytes: new Uint8Array([0, 255, 1]),
                    big: 9_223_372_036_854_775_807n,
                    negative: -42,
                    empty: null,
                  }),
                  droppedAttributesCount: 2,
                  events: [
                    {
                      timeUnixNano: "1795262400130000999",
                      name: "exception",
                      attributes: attributes({ "exception.message": "refused" }),
                    },
                    { timeUnixNano: START_NANOS, name: "retry", droppedAttributesCount: 1 },
                  ],
                  droppedEventsCount: 3,
                  links: [
                    {
                      traceId: "11111111111111111111111111111111",
                      spanId: "2222222222222222",
                      traceState: "a=b",
                      attributes: attributes({ why: "batch" }),
                    },
                  ],
                  status: { code: 2, message: "upstream refused" },
                }),
              ],
            },
          ],
        },
      ],
    };
    const [decoded] = all(decodeSpans(request)).map(accepted);
    expect({ ...decoded, attributesJson: JSON.parse(decoded?.attributesJson ?? "") }).toEqual({
      startTimeUs: START_US,
      durationUs: 12_346,
      traceId: TRACE_ID,
      spanId: SPAN_ID,
      parentSpanId: PARENT_ID,
      resource: {
        resourceId: expect.stringMatching(/^[0-9a-f]{16}$/),
        attributesJson:
          '{"deployment.environment.name":"production","host.name":"a","process.pid":4711,"service.name":"checkout"}',
      },
      sampleWeight: 4,
      serviceName: "checkout",
      environment: "production",
      spanName: "GET /orders/{id}",
      endpoint: "GET /orders/{id}",
      spanKind: 3,
      statusCode: 2,
      peerService: "shop.example",
      statusMessage: "upstream refused",
      httpMethod: "GET",
      httpPath: "/orders/4711",
      httpStatusCode: 503,
      attributesJson: {
        "http.request.method": "GET",
        "url.full": "https://shop.example/orders/4711?secret=1#top",
        "http.route": "/orders/{id}",
        "http.response.status_code": 503,
        "server.address": "shop.example",
        list: ["a", 1, true, null],
        nested: { deep: { value: 1.5 } },
        bytes: "AP8B",
        big: "9223372036854775807",
        negative: -42,
        empty: null,
        "otel.scope.name": "http",
        "otel.scope.version": "1.2.3",
        "otel.scope.team": "shop",
        "w3c.tracestate": "ot=th:c;rv:d29d6a7215ced0,vendor=x",
        "otel.dropped_attributes_count": 2,
        "otel.dropped_events_count": 3,
      },
      eventsJson:
        '[{"time":"2026-11-21T12:00:00.130000Z","name":"exception","attributes":{"exception.message":"refused"}},' +
        '{"time":"2026-11-21T12:00:00.123456Z","name":"retry","attributes":{"otel.dropped_attributes_count":1}}]',
      linksJson:
        '[{"trace_id":"11111111111111111111111111111111","span_id":"2222222222222222","attributes":{"why":"batch","w3c.tracestate":"a=b"}}]',
    });
  });

  test("a log record becomes a log record, field by field", () => {
    const request = {
      resourceLogs: [
        {
          resource: { attributes: attributes(resourceOfShop) },
          scopeLogs: [
            {
              scope: { name: "log4j" },
              logRecords: [
                logRecord({
                  observedTimeUnixNano: "1795262401000000000",
                  severityNumber: 18,
                  severityText: "Fatal error",
                  traceId: TRACE_ID,
                  spanId: SPAN_ID,
                  flags: 1,
                  eventName: "order.refused",
                  attributes: attributes({ order: 7 }),
                  droppedAttributesCount: 1,
                }),
              ],
            },
          ],
        },
      ],
    };
    const [decoded] = all(decodeLogs(request)).map(accepted);
    expect({ ...decoded, attributesJson: JSON.parse(decoded?.attributesJson ?? "") }).toEqual({
      timeUs: START_US,
      resource: {
        resourceId: expect.stringMatching(/^[0-9a-f]{16}$/),
        attributesJson:
          '{"deployment.environment.name":"production","host.name":"a","service.name":"checkout"}',
      },
      serviceName: "checkout",
      environment: "production",
      severityNumber: 18,
      severityText: "Fatal error",
      body: "order placed",
      pattern: { patternId: expect.stringMatching(/^[0-9a-f]{16}$/), pattern: "order placed" },
      traceId: TRACE_ID,
      spanId: SPAN_ID,
      attributesJson: {
        order: 7,
        "otel.scope.name": "log4j",
        "otel.event.name": "order.refused",
        "otel.dropped_attributes_count": 1,
      },
    });
  });

  test("many resources, scopes and spans come in the order of the message, a parent after its child", () => {
    const group = (service: string, ids: string[]) => ({
      resource: { attributes: attributes({ "service.name": service }) },
      scopeSpans: ids.map((spanId) => ({ scope: { name: spanId }, spans: [span({ spanId })] })),
    });
    const request = {
      resourceSpans: [
        group("a", ["0000000000000003", "0000000000000002"]),
        group("a", ["0000000000000001"]),
        { resource: { attributes: [] }, scopeSpans: [] },
        group("b", ["0000000000000004"]),
      ],
    };
    const spans = all(decodeSpans(request)).map(accepted);
    expect(spans.map(({ serviceName, spanId }) => `${serviceName} ${spanId.slice(-1)}`)).toEqual([
      "a 3",
      "a 2",
      "a 1",
      "b 4",
    ]);
    expect(new Set(spans.slice(0, 3).map(({ resource }) => resource.resourceId)).size).toBe(1);
  });

  test("one bad span leaves the others alone", () => {
    const spans = all(decodeSpans(traceRequest([span(), span({ traceId: "" }), span()])));
    expect(spans.map(({ ok }) => ok)).toEqual([true, false, true]);
    expect(rejected(spans[1])).toEqual({
      reason: "invalid_event",
      detail: "trace_id: must be 16 bytes, not all zero",
    });
  });

  describe("who sent it", () => {
    test.each([
      [{}, "unknown_service", "default"],
      [{ "service.name": "" }, "unknown_service", "default"],
      [{ "service.name": "a", "deployment.environment": "prod" }, "a", "production"],
      [
        { "service.name": "a", "deployment.environment.name": "qa", "deployment.environment": "x" },
        "a",
        "qa",
      ],
      [{ "service.name": 7, "deployment.environment.name": true }, "7", "true"],
    ])("of %p", (resource, serviceName, environment) => {
      const decoded = spanOf({}, resource);
      expect([decoded.serviceName, decoded.environment]).toEqual([serviceName, environment]);
      const log = logOf({}, resource);
      expect([log.serviceName, log.environment]).toEqual([serviceName, environment]);
    });

    test("a name too long for an index is a rejection of each of its items", () => {
      const request = traceRequest([span(), span()], { "service.name": "x".repeat(256) });
      for (const decoded of all(decodeSpans(request))) {
        expect(rejected(decoded).detail).toBe("service.name: must have at most 255 characters");
      }
    });

    test("no resource at all", () => {
      const [decoded] = all(decodeSpans({ resourceSpans: [{ scopeSpans: [{ spans: [span()] }] }] }));
      expect(accepted(decoded).resource.attributesJson).toBe("{}");
    });
  });

  describe("http, by the conventions of any year", () => {
    test.each([
      [{ "http.request.method": "GET", "http.method": "POST" }, "GET"],
      [{ "http.method": "POST" }, "POST"],
      [{ "http.request.method": "_OTHER" }, "_OTHER"],
      [{ "http.method": 1 }, null],
      [{ "http.method": "x".repeat(300) }, null],
    ])("method of %p", (values, method) => expect(spanWith(values).httpMethod).toBe(method));

    test.each([
      [{ "url.path": "/a", "http.target": "/b" }, "/a"],
      [{ "http.target": "/b?q=1" }, "/b"],
      [{ "url.full": "https://user@host:1/c/d?q=1#f" }, "/c/d"],
      [{ "http.url": "http://host" }, "/"],
      [{ "http.url": "http://host?q=/x" }, "/"],
      [{ "http.url": "/relative#f" }, "/relative"],
      [{ "http.host": "host" }, null],
    ])("path of %p", (values, path) => expect(spanWith(values).httpPath).toBe(path));

    test.each([
      [{ "http.response.status_code": 204, "http.status_code": 500 }, 204],
      [{ "http.status_code": 500 }, 500],
      [{ "http.status_code": "404" }, 404],
      [{ "http.status_code": "OK" }, null],
      [{ "http.status_code": 70_000 }, null],
      [{ "http.status_code": 1.5 }, null],
    ])("status code of %p", (values, code) => expect(spanWith(values).httpStatusCode).toBe(code));

    test("the endpoint is method and route, else the path without its ids, else the name", () => {
      const http = { "http.request.method": "GET", "url.path": "/orders/4711" };
      expect(spanWith({ ...http, "http.route": "/orders/:id" }).endpoint).toBe("GET /orders/:id");
      expect(spanWith(http).endpoint).toBe("GET /orders/{number}");
      expect(spanWith({}, { name: "reindex" }).endpoint).toBe("reindex");
      expect(spanWith({ "url.path": "?q" }, { name: "#7" })).toMatchObject({
        endpoint: "#7",
        httpPath: null,
      });
    });

    test("the peer of a client, by old and current keys", () => {
      expect(spanWith({ "db.namespace": "orders", "db.system": "mysql" }, { kind: 3 }).peerService).toBe(
        "orders",
      );
      expect(spanWith({ "net.peer.name": "db-1" }, { kind: 3 }).peerService).toBe("db-1");
      expect(spanWith({ "net.peer.name": "db-1" }, { kind: 2 }).peerService).toBeNull();
    });
  });

  describe("times", () => {
    test.each([
      ["an end that is not known", { endTimeUnixNano: 0 }, START_US, 0],
      ["a start that is not known", { startTimeUnixNano: 0 }, 1_795_262_400_135_802, 0],
      ["neither known", { startTimeUnixNano: 0, endTimeUnixNano: 0 }, RECORD_TIME_MS * 1_000, 0],
      ["half a microsecond", { endTimeUnixNano: "1795262400123457289" }, START_US, 1],
      ["less than half", { endTimeUnixNano: "1795262400123457288" }, START_US, 0],
    ])("%s", (_, fields, startTimeUs, durationUs) => {
      const decoded = spanOf(fields);
      expect([decoded.startTimeUs, decoded.durationUs]).toEqual([startTimeUs, durationUs]);
    });

    test("an end before the start is no time, and by how much is kept", () => {
      const decoded = spanOf({ endTimeUnixNano: "1795262400123356789" });
      expect(decoded.durationUs).toBe(0);
      expect(JSON.parse(decoded.attributesJson)).toEqual({ "timespan.ended_before_start_us": 100 });
    });

    test("the last nanosecond that OTLP can write is read exactly enough, and no further than that", () => {
      const decoded = spanOf({ startTimeUnixNano: "18446744073709551615", endTimeUnixNano: 0 });
      expect(decoded.startTimeUs).toBe(Number(18_446_744_073_709_551n));
    });

    test("a span of more than 366 days is invalid", () => {
      expect(spanRejection({ endTimeUnixNano: "1895262400123456789" }).detail).toContain("366 days");
    });

    test("an event without a time of its own is put where the span begins", () => {
      expect(spanOf({ events: [{ name: "e" }] }).eventsJson).toBe(
        '[{"time":"2026-11-21T12:00:00.123456Z","name":"e","attributes":{}}]',
      );
    });

    test("a log's own time, else when it was observed, else the record's", () => {
      const observedTimeUnixNano = "1795262401000000000";
      expect(logOf({ observedTimeUnixNano }).timeUs).toBe(START_US);
      expect(logOf({ timeUnixNano: 0, observedTimeUnixNano }).timeUs).toBe(1_795_262_401_000_000);
      expect(logOf({ timeUnixNano: 0, observedTimeUnixNano: 0 }).timeUs).toBe(RECORD_TIME_MS * 1_000);
    });
  });

  describe("ids", () => {
    test.each([[""], ["0000000000000000"]])("parent %p means a root", (parentSpanId) =>
      expect(spanOf({ parentSpanId }).parentSpanId).toBeNull(),
    );
    test.each([
      [{ traceId: "00000000000000000000000000000000" }, "trace_id"],
      [{ traceId: "0af7" }, "trace_id"],
      [{ spanId: "" }, "span_id"],
      [{ spanId: TRACE_ID }, "span_id"],
      [{ parentSpanId: "0af7" }, "parent_span_id"],
    ])("%p is invalid", (fields, name) =>
      expect(spanRejection(fields).detail).toStartWith(`${name}: must be`),
    );

    test("a log without ids belongs to no trace; one with half an id is invalid", () => {
      expect(logOf({ traceId: "", spanId: "" })).toMatchObject({ traceId: null, spanId: null });
      const logs = all(decodeLogs(logsRequest([logRecord({ traceId: "0af7", spanId: "0af7" })])));
      expect(rejected(logs[0]).detail).toBe(
        "trace_id: must be 16 bytes, or absent; span_id: must be 8 bytes, or absent",
      );
    });

    test("a link to nowhere is left out and counted", () => {
      const decoded = spanOf({ links: [{ traceId: "", spanId: "" }] });
      expect(decoded.linksJson).toBeNull();
      expect(JSON.parse(decoded.attributesJson)).toEqual({ "otel.dropped_links_count": 1 });
    });
  });

  test.each([
    [0, "", 9, "INFO"],
    [0, "warning", 13, "warning"],
    [0, "critical", 21, "critical"],
    [0, "whatever", 9, "whatever"],
    [1, "", 1, "TRACE"],
    [4, "", 4, "TRACE4"],
    [5, "debug", 5, "DEBUG"],
    [12, "", 12, "INFO4"],
    [17, "SEVERE", 17, "SEVERE"],
    [21, "", 21, "FATAL"],
    [24, "fatal4", 24, "FATAL4"],
    [25, "error", 17, "ERROR"],
  ])("severity %d %p", (severityNumber, severityText, number, text) => {
    const log = logOf({ severityNumber, severityText });
    expect([log.severityNumber, log.severityText]).toEqual([number, text]);
  });

  test.each([
    ["text", "text"],
    [{ user: "a", items: [1, "b"] }, '{"user":"a","items":[1,"b"]}'],
    [["a", 1], '["a",1]'],
    [42, "42"],
    [1.5, "1.5"],
    [true, "true"],
    [new Uint8Array([1, 2, 3]), '"AQID"'],
    [null, ""],
  ])("the body %p", (body, text) => {
    const asText = body instanceof Uint8Array ? text.slice(1, -1) : text;
    expect(logOf({ body: anyValue(body) }).body).toBe(asText);
  });

  test("a log without a body has an empty one", () => expect(logOf({ body: undefined }).body).toBe(""));

  test.each([
    [0, 1],
    [7, 1],
    [4, 4],
  ])("kind %d is stored as %d", (kind, stored) => expect(spanOf({ kind }).spanKind).toBe(stored));

  test("a span without a name has one that says so; a status nobody knows is unset", () => {
    expect(spanOf({ name: "", status: { code: 7 } })).toMatchObject({
      spanName: "unknown_span",
      endpoint: "unknown_span",
      statusCode: 0,
    });
  });

  test("the weight of a sampled span: by tracestate, else by sample_rate", () => {
    expect(spanOf({ traceState: "ot=th:8" }).sampleWeight).toBe(2);
    expect(spanWith({ sample_rate: 10 }).sampleWeight).toBe(10);
    expect(spanWith({ sample_rate: 10 }, { traceState: "ot=p:2" }).sampleWeight).toBe(4);
  });

  test("guards see the attributes of resource, span, event, link and log, and the body of a log", () => {
    const guards: Guards = {
      ...NO_GUARDS,
      attributes: ({ password: _, ...kept }) => kept,
      endpoint: (service, endpoint) => `${service}: ${endpoint}`,
    };
    const secret = attributes({ password: "hunter2", kept: 1 });
    const spans = decodeSpans(
      {
        resourceSpans: [
          {
            resource: { attributes: secret },
            scopeSpans: [
              {
                scope: { name: "s", attributes: secret },
                spans: [
                  span({
                    attributes: secret,
                    events: [{ name: "e", attributes: secret }],
                    links: [{ traceId: TRACE_ID, spanId: SPAN_ID, attributes: secret }],
                  }),
                ],
              },
            ],
          },
        ],
      },
      { ...guards, attributes: (given) => withoutSecrets(given) },
    );
    const logs = decodeLogs(
      logsRequest([logRecord({ attributes: secret, body: anyValue({ password: "hunter2" }) })]),
      guards,
    );
    expect(JSON.stringify([spans, logs])).not.toContain("hunter2");
    expect(accepted(all(spans)[0]).endpoint).toBe("unknown_service: GET /orders/{id}");
  });

  test("text that PostgreSQL cannot hold becomes text that it can", () => {
    const decoded = spanWith({ "a\0b": "c\0d" }, { name: "e\0f", status: { message: "g\0h" } });
    expect(decoded).toMatchObject({ spanName: "e\uFFFDf", statusMessage: "g\uFFFDh" });
    expect(decoded.attributesJson).toBe('{"a\uFFFDb":"c\uFFFDd"}');
    expect(logOf({ body: { stringValue: "i\0j" } }).body).toBe("i\uFFFDj");
  });

  test("an attribute called __proto__ is one like any other", () => {
    const values = [{ key: "__proto__", value: { stringValue: "x" } }];
    expect(spanOf({ attributes: values }).attributesJson).toBe('{"__proto__":"x"}');
  });

  describe("limits", () => {
    test("attributes and events beyond the limit are left out and marked", () => {
      const many = Object.fromEntries(
        Array.from({ length: OTLP_ATTRIBUTES_MAX + 1 }, (_, i) => [`k${i}`, i]),
      );
      const events = Array.from({ length: OTLP_EVENTS_MAX + 1 }, () => ({ name: "e" }));
      const decoded = spanWith(many, { events });
      const kept = JSON.parse(decoded.attributesJson);
      expect(Object.keys(kept).length).toBe(OTLP_ATTRIBUTES_MAX + 1);
      expect(kept[TRUNCATED_KEY]).toEqual(["attributes", "events"]);
      expect(JSON.parse(decoded.eventsJson ?? "").length).toBe(OTLP_EVENTS_MAX);
    });

    test("values nested too deep are left out, the others kept", () => {
      let deep: unknown = "bottom";
      for (let depth = 0; depth < OTLP_VALUE_DEPTH_MAX + 5; depth++) deep = [deep];
      const decoded = spanWith({ deep, flat: 1 });
      expect(decoded.attributesJson).toContain(TOO_DEEP_VALUE);
      expect(JSON.parse(decoded.attributesJson).flat).toBe(1);
    });

    test("more items than a request may have", () => {
      const empty = Array.from({ length: OTLP_ITEMS_MAX + 1 }, () => ({}));
      expect(rejected(decodeSpans(traceRequest(empty)))).toEqual({
        reason: "event_too_large",
        detail: "more than 100000 spans, events, links or log records",
      });
      expect(rejected(decodeLogs(logsRequest(empty))).reason).toBe("event_too_large");
    });

    test("more bytes than a request may have", () => {
      const bytes = encode("spans", traceRequest([span({ name: "x".repeat(OTLP_MESSAGE_BYTES_MAX) })]));
      expect(rejected(decodeTraceExport(bytes, 0)).reason).toBe("event_too_large");
    });
  });

  test("items that are not stored can be taken out of a request, and decode to the same again", () => {
    const spans = [1, 2, 3, 4].map((n) =>
      span({
        name: `span ${n}`,
        startTimeUnixNano: `${START_NANOS.slice(0, -1)}${n}`,
        parentSpanId: PARENT_ID,
        traceState: "a=b",
        attributes: attributes({ n, x: [1.5, "a", { b: true }], big: 9_007_199_254_740_993n }),
        events: [{ name: "e", timeUnixNano: START_NANOS, attributes: attributes({ n }) }],
        links: [{ traceId: TRACE_ID, spanId: SPAN_ID, attributes: attributes({ n }) }],
        status: { code: 2, message: "m" },
        droppedLinksCount: n,
      }),
    );
    const resource = (...some: object[]) => ({
      resource: { attributes: attributes(resourceOfShop) },
      scopeSpans: [{ scope: { name: "s", version: "1" }, spans: some }],
    });
    const bytes = encode("spans", {
      resourceSpans: [resource(...spans.slice(0, 2)), resource(...spans.slice(2))],
    });
    const original = all(decodeTraceExport(bytes, 0));
    const picked = pickSpans(bytes, new Set([1, 2]));
    expect(all(decodeTraceExport(picked, 0))).toEqual(original.slice(1, 3));

    const logBytes = encode(
      "logs",
      logsRequest([logRecord(), logRecord({ body: anyValue({ a: [1] }), traceId: TRACE_ID })]),
    );
    const pickedLogs = pickLogRecords(logBytes, new Set([1]));
    expect(all(decodeLogsExport(pickedLogs, 0))).toEqual(all(decodeLogsExport(logBytes, 0)).slice(1));
    expect(pickSpans(Buffer.from("nothing"), new Set([0]))).toBeNull();
  });

  test("a request of no spans is none, and no rejection", () => {
    expect(all(decodeSpans({ resourceSpans: [{}] }))).toEqual([]);
    expect(encodingName).toBeOneOf(["protobuf", "JSON"]);
  });
});

function withoutSecrets(given: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(given).filter(([key]) => key !== "password"));
}

describe("what only JSON can say", () => {
  const decode = (request: object) => decodeTraceExport(Buffer.from(JSON.stringify(request)), RECORD_TIME_MS);
  const one = (fields: object) => all(decode(traceRequest([span(fields)])))[0];

  test("enums by name, numbers as text, ids in upper case, unknown fields", () => {
    const decoded = accepted(
      one({
        traceId: TRACE_ID.toUpperCase(),
        kind: "SPAN_KIND_CONSUMER",
        status: { code: "STATUS_CODE_ERROR", surprise: 1 },
        attributes: [
          { key: "n", value: { intValue: "42" }, surprise: 1 },
          { key: "d", value: { doubleValue: "NaN" } },
          { key: "i", value: { doubleValue: "-Infinity" } },
          { key: "u", value: { surpriseValue: 1 } },
        ],
        surprise: { a: [] },
      }),
    );
    expect(decoded).toMatchObject({ traceId: TRACE_ID, spanKind: 5, statusCode: 2 });
    expect(decoded.attributesJson).toBe('{"n":42,"d":"NaN","i":"-Infinity","u":null}');
    const logs = decodeLogsExport(
      Buffer.from(JSON.stringify(logsRequest([logRecord({ severityNumber: "SEVERITY_NUMBER_WARN2" })]))),
      0,
    );
    expect(accepted(all(logs)[0]).severityNumber).toBe(14);
  });

  test("times as numbers are as exact as a number can be", () => {
    const decoded = accepted(one({ startTimeUnixNano: Number(START_NANOS), endTimeUnixNano: 0 }));
    expect(Math.abs(decoded.startTimeUs - START_US)).toBeLessThanOrEqual(1);
  });

  test.each([
    [{ name: 7 }, "name must be text"],
    [{ traceId: 7 }, "traceId must be text; trace_id: must be 16 bytes, not all zero"],
    [{ kind: "SERVER" }, "kind must be a number or a name of its enum"],
    [{ startTimeUnixNano: "yesterday" }, "startTimeUnixNano must be nanoseconds since 1970"],
    [{ startTimeUnixNano: -1 }, "startTimeUnixNano must be nanoseconds since 1970"],
    [{ attributes: { a: 1 } }, "attributes must be an array of keys and values"],
    [{ attributes: [{ value: {} }] }, "an attribute must have a key and a value"],
    [
      { attributes: [{ key: "a", value: { intValue: "x" } }] },
      "a value must be one of stringValue, boolValue, intValue and so on",
    ],
    [{ events: {} }, "events must be an array of objects"],
  ])("%p is a rejection of that span", (fields, detail) =>
    expect(rejected(one(fields))).toEqual({ reason: "invalid_event", detail }),
  );

  test.each([
    ['{"resourceSpans":', "malformed_json"],
    ["{} {}", "malformed_json"],
    ['{"resourceLogs":[]}', "invalid_event"],
    ['{"resourceSpans":{}}', "invalid_event"],
    ['{"resourceSpans":[1]}', "invalid_event"],
    ['{"resourceSpans":[{"scopeSpans":[{"spans":[null]}]}]}', "invalid_event"],
    ['{"type":"span"}', "invalid_event"],
    [`{"a":${"[".repeat(1_000)}${"]".repeat(1_000)}}`, "invalid_event"],
  ])("%p is one rejection", (text, reason) =>
    expect(rejected(decodeTraceExport(Buffer.from(text), 0)).reason).toBe(reason as never),
  );

  test("blanks before the brace do not matter", () => {
    expect(all(decodeTraceExport(Buffer.from('\t {"resourceSpans":[]}'), 0))).toEqual([]);
  });
});

describe("what is no protobuf", () => {
  const [, encode] = ENCODINGS[0] ?? [];
  const bytes =
    encode?.("spans", traceRequest([span({ attributes: attributes({ a: "b" }) })])) ?? Buffer.alloc(0);

  test("no value at all", () => {
    expect(rejected(decodeTraceExport(null, 0)).reason).toBe("malformed_protobuf");
    expect(rejected(decodeTraceExport(Buffer.alloc(0), 0)).reason).toBe("malformed_protobuf");
  });

  test("a request that ends anywhere but at its end", () => {
    for (let length = 1; length < bytes.byteLength; length++) {
      expect(rejected(decodeTraceExport(bytes.subarray(0, length), 0)).reason).toBe("malformed_protobuf");
    }
  });

  test.each([
    ["text", Buffer.from("hello there")],
    ["a field that nobody knows", Buffer.from([0x78, 0x01])],
    ["field 0", Buffer.from([0x00, 0x00])],
    ["a group that never ends", Buffer.from([0x0b, 0x0b, 0x0b])],
    ["a message longer than the one around it", Buffer.from([0x0a, 0x02, 0x12, 0x7f, ...Buffer.alloc(200)])],
    ["a varint without an end", Buffer.alloc(20, 0xff)],
  ])("%s", (_, value) => expect(rejected(decodeTraceExport(value, 0)).reason).toBe("malformed_protobuf"));

  test("log records in the place of spans are no spans", () => {
    const logs = encode?.("logs", logsRequest([logRecord({ traceId: TRACE_ID, spanId: SPAN_ID })])) ?? bytes;
    const decoded = decodeTraceExport(logs, 0);
    expect(!decoded.ok || decoded.value.every(({ ok }) => !ok)).toBe(true);
  });
});
