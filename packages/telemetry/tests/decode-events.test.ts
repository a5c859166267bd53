import { describe, expect, test } from "bun:test";
import { ATTRIBUTE_VALUE_CHARACTERS_MAX, TRUNCATED_KEY } from "../src/attributes.ts";
import type { Decoded } from "../src/rejection.ts";
import { parseTimestamp } from "../src/timestamp.ts";
import { decodeLogEvent } from "../src/wire/decode-log-event.ts";
import { decodeSpanEvent } from "../src/wire/decode-span-event.ts";
import { BODY_CHARACTERS_MAX, EVENT_BYTES_MAX, NAME_CHARACTERS_MAX } from "../src/wire/event-fields.ts";

const RECORD_TIME_MS = Date.UTC(2026, 10, 21, 12);

const span = {
  type: "span",
  timestamp: "2026-11-21T12:00:00.123456Z",
  service_name: "checkout",
  environment: "prod",
  trace_id: "0AF7651916CD43DD8448EB211C80319C",
  span_id: "B7AD6B7169203331",
  parent_span_id: "00f067aa0ba902b7",
  name: "POST /orders",
  kind: "server",
  duration_ms: 12.3456,
  status: "Error",
  http_method: "POST",
  http_path: "/orders",
  http_status_code: 503,
  labels: { region: "eu", retries: 2, nested: { a: [1, null] } },
};

const log = {
  type: "log",
  timestamp: "2026-11-21T12:00:00Z",
  service_name: "checkout",
  environment: "production",
  level: "error",
  message: "payment refused",
  trace_id: "0af7651916cd43dd8448eb211c80319c",
  span_id: "b7ad6b7169203331",
  http_status_code: 402,
  labels: { order: 7 },
};

const encode = (value: unknown) => Buffer.from(typeof value === "string" ? value : JSON.stringify(value));
const spanOf = (fields: object) => accepted(decodeSpanEvent(encode({ ...span, ...fields }), RECORD_TIME_MS));
const logOf = (fields: object) => accepted(decodeLogEvent(encode({ ...log, ...fields }), RECORD_TIME_MS));
const spanRejection = (fields: object) =>
  rejected(decodeSpanEvent(encode({ ...span, ...fields }), RECORD_TIME_MS));
const logRejection = (fields: object) =>
  rejected(decodeLogEvent(encode({ ...log, ...fields }), RECORD_TIME_MS));

function accepted<T>(decoded: Decoded<T>): T {
  if (!decoded.ok) throw new Error(`rejected: ${decoded.rejection.reason}: ${decoded.rejection.detail}`);
  return decoded.value;
}

function rejected(decoded: Decoded<unknown>) {
  if (decoded.ok) throw new Error("was accepted");
  return decoded.rejection;
}

test("a span event becomes a span, field by field", () => {
  expect(spanOf({})).toEqual({
    startTimeUs: Date.UTC(2026, 10, 21, 12) * 1_000 + 123_456,
    durationUs: 12_346,
    traceId: "0af7651916cd43dd8448eb211c80319c",
    spanId: "b7ad6b7169203331",
    parentSpanId: "00f067aa0ba902b7",
    resource: {
      resourceId: expect.stringMatching(/^[0-9a-f]{16}$/),
      attributesJson: '{"deployment.environment.name":"production","service.name":"checkout"}',
    },
    sampleWeight: 1,
    serviceName: "checkout",
    environment: "production",
    spanName: "POST /orders",
    endpoint: "POST /orders",
    peerService: null,
    statusMessage: null,
    spanKind: 2,
    statusCode: 2,
    httpMethod: "POST",
    httpPath: "/orders",
    httpStatusCode: 503,
    attributesJson: '{"region":"eu","retries":2,"nested":{"a":[1,null]}}',
    eventsJson: null,
    linksJson: null,
  });
});

test("a log event becomes a log record, its http fields among its attributes", () => {
  expect(logOf({})).toEqual({
    timeUs: Date.UTC(2026, 10, 21, 12) * 1_000,
    resource: {
      resourceId: expect.stringMatching(/^[0-9a-f]{16}$/),
      attributesJson: '{"deployment.environment.name":"production","service.name":"checkout"}',
    },
    serviceName: "checkout",
    environment: "production",
    severityNumber: 17,
    severityText: "ERROR",
    body: "payment refused",
    pattern: { patternId: expect.stringMatching(/^[0-9a-f]{16}$/), pattern: "payment refused" },
    traceId: "0af7651916cd43dd8448eb211c80319c",
    spanId: "b7ad6b7169203331",
    attributesJson: '{"order":7,"http_status_code":402}',
  });
});

describe("what the contract lets a client leave out or write differently", () => {
  test("a missing timestamp is the record's own", () => {
    expect(spanOf({ timestamp: undefined }).startTimeUs).toBe(RECORD_TIME_MS * 1_000);
    expect(logOf({ timestamp: null }).timeUs).toBe(RECORD_TIME_MS * 1_000);
  });

  test.each([
    ["prod", "production"],
    ["DEV", "development"],
    ["stage", "staging"],
    ["qa-3", "qa-3"],
  ])("environment %s is %s", (given, expected) => {
    expect(spanOf({ environment: given }).environment).toBe(expected);
  });

  test("16 hex digits of a trace id are padded on the left, dashes are dropped", () => {
    expect(spanOf({ trace_id: "8448eb211c80319c" }).traceId).toBe("00000000000000008448eb211c80319c");
    expect(spanOf({ trace_id: "0af76519-16cd-43dd-8448-eb211c80319c" }).traceId).toBe(
      span.trace_id.toLowerCase(),
    );
  });

  test.each([[null], [undefined], [""], ["0000000000000000"]])("parent %p means a root span", (parent) => {
    expect(spanOf({ parent_span_id: parent }).parentSpanId).toBeNull();
  });

  test("a log needs no trace", () => {
    const record = logOf({ trace_id: "", span_id: null });
    expect([record.traceId, record.spanId]).toEqual([null, null]);
  });

  test("an unknown field is kept, and a label wins over a stray field of its name", () => {
    expect(JSON.parse(spanOf({ tenant: "a", region: "us" }).attributesJson)).toEqual({
      ...span.labels,
      tenant: "a",
    });
  });
});

describe("what is not an event is rejected with a reason", () => {
  test.each([
    ["no bytes", null, "malformed_json"],
    ["an empty value", "", "malformed_json"],
    ["cut off JSON", '{"type":"span"', "malformed_json"],
    ["bytes that are no text", "\xff\xfe\x00", "malformed_json"],
    ["an array", "[]", "invalid_event"],
    ["a number", "42", "invalid_event"],
    ["null", "null", "invalid_event"],
  ] as const)("%s", (_, bytes, reason) => {
    const value = bytes === null ? null : encode(bytes);
    expect(rejected(decodeSpanEvent(value, RECORD_TIME_MS)).reason).toBe(reason);
    expect(rejected(decodeLogEvent(value, RECORD_TIME_MS)).reason).toBe(reason);
  });

  test("an event above the size limit", () => {
    expect(spanRejection({ labels: { big: "x".repeat(EVENT_BYTES_MAX) } }).reason).toBe("event_too_large");
  });

  test.each([
    ["type", "log"],
    ["trace_id", "12"],
    ["trace_id", "0".repeat(32)],
    ["trace_id", `${"a".repeat(31)}g`],
    ["trace_id", 7],
    ["span_id", "a".repeat(32)],
    ["span_id", "0".repeat(16)],
    ["parent_span_id", "nope"],
    ["service_name", ""],
    ["service_name", null],
    ["service_name", "s".repeat(NAME_CHARACTERS_MAX + 1)],
    ["environment", {}],
    ["name", ""],
    ["kind", "SERVANT"],
    ["status", 2],
    ["duration_ms", -1],
    ["duration_ms", "12"],
    ["duration_ms", 10 * 365 * 24 * 3_600_000],
    ["duration_ms", null],
    ["timestamp", "yesterday"],
    ["timestamp", 1732190400],
    ["timestamp", "2026-02-30T00:00:00Z"],
    ["http_status_code", 1000],
    ["http_status_code", "2xx"],
    ["http_status_code", true],
    ["labels", "a=b"],
    ["labels", [1]],
  ])("span %s = %p", (field, value) => {
    const rejection = spanRejection({ [field]: value });
    expect(rejection.reason).toBe("invalid_event");
    expect(rejection.detail).toStartWith(`${field}: `);
  });

  test.each([
    ["level", "LOUD"],
    ["message", undefined],
    ["message", 5],
    ["trace_id", "xyz"],
    ["span_id", "12"],
  ])("log %s = %p", (field, value) => {
    const rejection = logRejection({ [field]: value });
    expect(rejection.reason).toBe("invalid_event");
    expect(rejection.detail).toStartWith(`${field}: `);
  });

  test("every problem is listed", () => {
    const { detail } = spanRejection({ span_id: "1", kind: "x", duration_ms: -5 });
    expect(["span_id", "kind", "duration_ms"].every((field) => detail.includes(`${field}: `))).toBe(true);
  });
});

describe("what PostgreSQL could not hold is made to fit", () => {
  test("NUL and lone surrogates become U+FFFD in texts, keys and values", () => {
    const decoded = spanOf({
      service_name: "a\0b",
      name: "n\ud800",
      labels: { "k\0": "v\udfff", list: ["\0"], deep: { "\ud800x": 1 } },
    });
    expect(decoded.serviceName).toBe("a\uFFFDb");
    expect(decoded.spanName).toBe("n\uFFFD");
    expect(JSON.parse(decoded.attributesJson)).toEqual({
      "k\uFFFD": "v\uFFFD",
      list: ["\uFFFD"],
      deep: { "\uFFFDx": 1 },
    });
    expect(decoded.attributesJson).not.toMatch(/\\u0000|\\ud[89a-f]/i);
  });

  test("a label of 100 kB is cut and marked", () => {
    const attributes = JSON.parse(spanOf({ labels: { big: "x".repeat(100_000), small: 1 } }).attributesJson);
    expect(attributes.big).toHaveLength(ATTRIBUTE_VALUE_CHARACTERS_MAX);
    expect(attributes.small).toBe(1);
    expect(attributes[TRUNCATED_KEY]).toEqual(["big"]);
  });

  test("a message of 1 MB is cut and marked, and never in the middle of a character", () => {
    const record = logOf({ message: "😀".repeat(300_000) });
    expect(record.body.length).toBeLessThanOrEqual(BODY_CHARACTERS_MAX);
    expect(record.body.isWellFormed()).toBe(true);
    expect(JSON.parse(record.attributesJson)[TRUNCATED_KEY]).toEqual(["message"]);
  });

  test.each([100, 5_000, 100_000])(
    "labels nested %d deep are kept as text, without recursion errors",
    (depth) => {
      const nested = `${'{"a":'.repeat(depth)}1${"}".repeat(depth)}`;
      const text = JSON.stringify({ ...span, labels: {} }).replace('"labels":{}', `"labels":${nested}`);
      const decoded = decodeSpanEvent(encode(text), RECORD_TIME_MS);
      if (decoded.ok) expect(() => JSON.parse(decoded.value.attributesJson)).not.toThrow();
      else expect(["malformed_json", "invalid_event"]).toContain(decoded.rejection.reason);
    },
  );

  test("fields named like what every object has are kept, and change no prototype", () => {
    const text = JSON.stringify(span).replace(
      '"type"',
      '"constructor":"c","__proto__":{"http.route":"/x"},"type"',
    );
    const decoded = accepted(decodeSpanEvent(encode(text), RECORD_TIME_MS));
    expect(JSON.parse(decoded.attributesJson)).toMatchObject({ constructor: "c" });
    expect(decoded.attributesJson).toContain('"__proto__":{"http.route":"/x"}');
    expect(decoded.endpoint).toBe("POST /orders");
  });

  test("__proto__ as a label is a label", () => {
    const text = JSON.stringify(span).replace('"region"', '"__proto__"');
    expect(accepted(decodeSpanEvent(encode(text), RECORD_TIME_MS)).attributesJson).toContain('"retries":2');
  });
});

describe("timestamps", () => {
  test.each([
    ["2026-11-21T12:00:00Z", Date.UTC(2026, 10, 21, 12) * 1_000],
    ["2026-11-21T12:00:00.1Z", Date.UTC(2026, 10, 21, 12) * 1_000 + 100_000],
    ["2026-11-21T12:00:00.123456789Z", Date.UTC(2026, 10, 21, 12) * 1_000 + 123_456],
    ["2026-11-21T14:30:00.000001+02:30", Date.UTC(2026, 10, 21, 12) * 1_000 + 1],
    ["2026-11-21T12:00:00-0500", Date.UTC(2026, 10, 21, 17) * 1_000],
    ["2026-11-21 12:00", Date.UTC(2026, 10, 21, 12) * 1_000],
    ["1970-01-01T00:00:00Z", 0],
    ["1969-12-31T23:59:59.999999Z", -1],
    ["2026-11-21", undefined],
    ["2026-13-01T00:00:00Z", undefined],
    ["2025-02-29T00:00:00Z", undefined],
    ["2026-11-21T25:00:00Z", undefined],
    ["", undefined],
  ])("%s is %p microseconds", (text, expected) => {
    expect(parseTimestamp(text)).toBe(expected);
  });
});

/** A small deterministic generator (mulberry32, public domain), so that a failure can be repeated. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

test("20,000 mutated events give a row or a rejection, never an exception", () => {
  const next = random(20_261_121);
  const originals = [encode(span), encode(log)];
  let rows = 0;
  let rejections = 0;
  for (let round = 0; round < 20_000; round++) {
    const bytes = Buffer.from(originals[round % 2] ?? "");
    for (let changes = 1 + Math.floor(next() * 4); changes > 0; changes--) {
      bytes[Math.floor(next() * bytes.length)] = Math.floor(next() * 256);
    }
    for (const decode of [decodeSpanEvent, decodeLogEvent]) {
      const decoded = decode(bytes, RECORD_TIME_MS);
      if (decoded.ok) {
        rows++;
        expect(decoded.value.attributesJson).not.toMatch(/\\u0000|\\ud[89a-f]/i);
      } else rejections++;
    }
  }
  expect(rows).toBeGreaterThan(1_000);
  expect(rejections).toBeGreaterThan(1_000);
});
