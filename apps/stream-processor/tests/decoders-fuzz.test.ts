import { expect, test } from "bun:test";
import type { Source } from "@timespan/store/ingest/batch";
import { NO_GUARDS } from "@timespan/telemetry/guards";
import type { LogRecord } from "@timespan/telemetry/log-record";
import type { Span } from "@timespan/telemetry/span";
import { logEvent, spanEvent } from "@timespan/testing/events";
import { createRandom } from "@timespan/testing/workload/random";
import {
  anyValue,
  attributes,
  encodeProtobuf,
  logRecord,
  logsRequest,
  SPAN_ID,
  span,
  TRACE_ID,
  traceRequest,
} from "../../../packages/telemetry/tests/otlp-encode.ts";
import { decodeOtlpLogRecord, decodeOtlpSpanRecord } from "../src/decode-otlp-record.ts";
import { type DecodeRecord, decodeLogRecord, decodeSpanRecord } from "../src/decode-record.ts";
import { OpenBatch } from "../src/open-batch.ts";

/** Mutated messages of each of the six kinds: 120,000 in all. */
const MUTATIONS = 20_000;
/** Another seed finds other messages; a failure names its own. */
const SEED = 4;

const trace = traceRequest([
  span({
    traceState: "ot=th:8",
    attributes: attributes({
      "http.request.method": "GET",
      "url.full": "https://shop.example/orders/4711?q=1",
      "http.response.status_code": 200,
      list: ["a", 1, 2.5, null],
      nested: { a: { b: true } },
      bytes: new Uint8Array([1, 2, 3]),
      big: -9_223_372_036_854_775_808n,
    }),
    events: [{ name: "e", timeUnixNano: "1795262400123456789", attributes: attributes({ a: "b" }) }],
    links: [{ traceId: TRACE_ID, spanId: SPAN_ID, attributes: attributes({ a: "b" }) }],
    status: { code: 2, message: "refused" },
  }),
  span({ parentSpanId: SPAN_ID, kind: 3, attributes: attributes({ "db.system": "mysql", sample_rate: 4 }) }),
]);
const logs = logsRequest([
  logRecord({ severityNumber: 17, severityText: "ERROR", traceId: TRACE_ID, spanId: SPAN_ID }),
  logRecord({ timeUnixNano: 0, body: anyValue({ a: ["b", 1] }), attributes: attributes({ user: "a" }) }),
]);

/** So that the same seed makes the same messages. */
const fixed = { timestamp: "2026-11-21T12:00:00.123Z", trace_id: TRACE_ID, span_id: SPAN_ID };

const kinds: readonly (readonly [name: string, decode: DecodeRecord, corpus: readonly Buffer[]])[] = [
  [
    "span events",
    decodeSpanRecord,
    [json(spanEvent(fixed)), json(spanEvent({ ...fixed, parent_span_id: SPAN_ID }))],
  ],
  ["log events", decodeLogRecord, [json(logEvent(fixed)), json(logEvent({ ...fixed, level: "ERROR" }))]],
  ["spans in protobuf", decodeOtlpSpanRecord, [encodeProtobuf("spans", trace)]],
  ["spans in JSON", decodeOtlpSpanRecord, [json(trace)]],
  ["logs in protobuf", decodeOtlpLogRecord, [encodeProtobuf("logs", logs)]],
  ["logs in JSON", decodeOtlpLogRecord, [json(logs)]],
];

function json(value: object): Buffer {
  return Buffer.from(JSON.stringify(value));
}

test.each(kinds)(
  "mutated %s: only rows and rejections, and every row can be written",
  (name, decode, corpus) => {
    const random = createRandom(SEED, name.length);
    const accepted = { oldestUs: Number.NEGATIVE_INFINITY, newestUs: Number.POSITIVE_INFINITY };
    const counts = { rows: 0, deadLetters: 0 };
    for (let round = 0; round < MUTATIONS; round++) {
      const value = mutate(corpus[round % corpus.length] ?? Buffer.alloc(0), random.next);
      const batch = new CheckedBatch();
      try {
        decode({ offset: 0, timestampMs: Date.UTC(2026, 10, 21), value }, batch, accepted, NO_GUARDS);
        checkPositions(batch);
      } catch (error) {
        throw new Error(`seed ${SEED}, round ${round}, ${value.toString("base64")}`, { cause: error });
      }
      counts.rows += batch.rowCount - batch.deadLetters.length;
      counts.deadLetters += batch.deadLetters.length;
    }
    // Neither of the two is what every message came to: else this would have tested one half.
    expect(counts.rows).toBeGreaterThan(MUTATIONS / 20);
    expect(counts.deadLetters).toBeGreaterThan(MUTATIONS / 20);
  },
);

/** Does one to four things to a message, as bad memory, bad programs and bad people do. */
function mutate(message: Buffer, next: () => number): Buffer {
  const below = (end: number) => Math.floor(next() * end);
  let bytes: Buffer = Buffer.from(message);
  for (let count = 1 + below(4); count > 0; count--) {
    const at = below(bytes.byteLength);
    const length = 1 + below(12);
    switch (below(8)) {
      case 0: // one bit
        if (at < bytes.byteLength) bytes[at] = (bytes[at] ?? 0) ^ (1 << below(8));
        break;
      case 1: // one byte
        if (at < bytes.byteLength) bytes[at] = below(256);
        break;
      case 2: // cut off; rarely, because little comes of it
        if (below(4) === 0) bytes = bytes.subarray(0, at);
        break;
      case 3: // some bytes gone
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)]);
        break;
      case 4: // some bytes more
        bytes = Buffer.concat([
          bytes.subarray(0, at),
          Buffer.from(Array.from({ length }, () => below(256))),
          bytes.subarray(at),
        ]);
        break;
      case 5: // some bytes twice
        bytes = Buffer.concat([bytes.subarray(0, at + length), bytes.subarray(at)]);
        break;
      case 6: // a token where another was
        bytes = replaceToken(bytes, at, TOKENS[below(TOKENS.length)] ?? "");
        break;
      case 7: // a length or number at its end
        if (at < bytes.byteLength) bytes[at] = [0x00, 0x7f, 0x80, 0xff][below(4)] ?? 0;
        break;
    }
  }
  return bytes;
}

const TOKENS = [
  ...["null", "true", "{}", "[]", "-1", "0", "1e999", "-1e-7", "9007199254740993", '"\\u0000"', '"\\ud800"'],
  ...[
    '""',
    '"NaN"',
    '"18446744073709551615"',
    '"99999999999999999999"',
    '{"__proto__":{"a":1}}',
    "[[[[[1]]]]]",
  ],
  ...[
    '"-9223372036854775808"',
    '"0000000000000000"',
    '"SPAN_KIND_SERVER"',
    '"\u{1F600}"',
    '"2026-13-45T99:99:99Z"',
  ],
];

/** Puts `token` in the place of the number, word or text that stands at or behind `at`. */
function replaceToken(bytes: Buffer, at: number, token: string): Buffer {
  const text = bytes.toString("latin1");
  const pattern = /"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*|true|false|null/g;
  pattern.lastIndex = at;
  const found = pattern.exec(text);
  if (found === null) return bytes;
  return Buffer.concat([
    bytes.subarray(0, found.index),
    Buffer.from(token),
    bytes.subarray(found.index + found[0].length),
  ]);
}

/** Looks at every row before it is encoded. */
class CheckedBatch extends OpenBatch {
  readonly positions: number[] = [];

  constructor() {
    super({
      topic: "topic",
      partition: 0,
      sourceId: 1,
      startOffset: 0,
      lateBeforeUs: 0,
      openedAtMs: 0,
      guards: NO_GUARDS,
      itemAt: (whole) => whole,
    });
  }

  override addSpan(span: Span, source: Source): void {
    checkSpan(span);
    this.positions.push(source.index);
    super.addSpan(span, source);
  }

  override addLog(log: LogRecord, source: Source): void {
    checkLog(log);
    this.positions.push(source.index);
    super.addLog(log, source);
  }
}

/** Each position within the message is of one row or dead letter, and none has two. */
function checkPositions(batch: CheckedBatch): void {
  const indexes = [...batch.positions, ...batch.deadLetters.map(({ source }) => source.index)];
  if (new Set(indexes).size !== indexes.length) throw new Error("two rows of one position");
}

function checkSpan(span: Span): void {
  assertThat(/^[0-9a-f]{32}$/.test(span.traceId) && !/^0+$/.test(span.traceId), "trace id");
  assertThat(/^[0-9a-f]{16}$/.test(span.spanId), "span id");
  assertThat(span.parentSpanId === null || /^[0-9a-f]{16}$/.test(span.parentSpanId), "parent");
  assertThat(Number.isInteger(span.startTimeUs), "start");
  assertThat(Number.isSafeInteger(span.durationUs) && span.durationUs >= 0, "duration");
  assertThat(span.sampleWeight >= 1 && span.sampleWeight <= 1_000_000, "weight");
  assertThat(span.spanKind >= 1 && span.spanKind <= 5, "kind");
  assertThat([0, 1, 2].includes(span.statusCode), "status");
  assertThat(
    span.httpStatusCode === null || (span.httpStatusCode >= 0 && span.httpStatusCode <= 999),
    "http",
  );
  const { serviceName, environment, spanName, endpoint, peerService, statusMessage } = span;
  for (const text of [serviceName, environment, spanName, endpoint]) assertThat(text !== "", "empty name");
  for (const text of [serviceName, environment, spanName, endpoint, peerService, statusMessage])
    checkText(text);
  for (const text of [span.httpMethod, span.httpPath]) checkText(text);
  for (const text of [span.attributesJson, span.eventsJson, span.linksJson]) checkJson(text);
  checkJson(span.resource.attributesJson);
}

function checkLog(log: LogRecord): void {
  assertThat(Number.isInteger(log.timeUs), "time");
  assertThat(log.severityNumber >= 1 && log.severityNumber <= 24, "severity");
  assertThat(log.traceId === null || /^[0-9a-f]{32}$/.test(log.traceId), "trace id");
  assertThat(log.spanId === null || /^[0-9a-f]{16}$/.test(log.spanId), "span id");
  for (const text of [log.serviceName, log.environment, log.severityText, log.body]) checkText(text);
  checkJson(log.attributesJson);
  checkJson(log.resource.attributesJson);
}

function checkText(text: string | null): void {
  assertThat(text === null || (text.isWellFormed() && !text.includes("\0")), "text that PostgreSQL refuses");
}

function checkJson(text: string | null): void {
  if (text === null) return;
  checkText(text);
  assertThat(typeof JSON.parse(text) === "object" && !/\\u0000|\\ud[89a-f]/i.test(text), "jsonb");
}

function assertThat(holds: boolean, what: string): void {
  if (!holds) throw new Error(`not fit to be stored: ${what}`);
}
