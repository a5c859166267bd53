/** What others compress, and what nobody should: batches of Kafka's own producer, and batches made to burst. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DECOMPRESSED_BATCH_BYTES_MAX } from "@timespan/broker/codecs/record-batch-limits";
import { CompressionTypes } from "@timespan/broker/connect-kafka";
import { findProgram } from "@timespan/local-stack/find-program";
import { resolveKafkaJars } from "@timespan/local-stack/kafka-jars";
import { closeDatabase, type Database } from "@timespan/store/database";
import { spanEvent, uniqueName } from "@timespan/testing/events";
import { testKafka } from "@timespan/testing/produce";
import { eventually, type RunningApp, runApp } from "@timespan/testing/run-app";
import { createTestDatabase, openAsSuperuser, type TestDatabase } from "@timespan/testing/test-database";
import { testEnvironment } from "@timespan/testing/test-environment";
import {
  encodeProtobuf,
  span,
  TRACE_ID,
  traceRequest,
} from "../../../packages/telemetry/tests/otlp-encode.ts";

const COMPRESSIONS = [
  ["gzip", CompressionTypes.GZIP],
  ["snappy", CompressionTypes.Snappy],
  ["lz4", CompressionTypes.LZ4],
  ["zstd", CompressionTypes.ZSTD],
] as const;

/** The compiler that Java's launcher uses for a source file; a runtime alone has none. */
const javac = findProgram("javac", process.env);

describe("compressed batches, from Kafka to the store", () => {
  const name = uniqueName("apm");
  const topics = { spans: `${name}.spans`, otlpSpans: `${name}.otlp_spans` };
  let created: TestDatabase;
  let database: Database;
  let processor: RunningApp;

  beforeAll(async () => {
    created = await createTestDatabase("postgres");
    database = openAsSuperuser(created.url);
    processor = await runApp("stream-processor", "STREAM_PROCESSOR_PORT", {
      DATABASE_URL: created.url,
      KAFKA_BROKERS: testEnvironment().kafkaBrokers.join(","),
      KAFKA_APM_SPAN_TOPIC: topics.spans,
      KAFKA_APM_LOG_TOPIC: `${name}.logs`,
      KAFKA_APM_LOG_ERROR_TOPIC: `${name}.errors`,
      KAFKA_OTLP_SPAN_TOPIC: topics.otlpSpans,
      KAFKA_OTLP_LOG_TOPIC: `${name}.otlp_logs`,
      KAFKA_CONSUMER_GROUP: name,
      KAFKA_TOPIC_PARTITIONS: "1",
      BULK_FLUSH_INTERVAL_MS: "100",
      WORKERS: "1",
    });
  });
  afterAll(async () => {
    await processor.stop();
    await closeDatabase(database);
    await created.drop();
  });

  const storedSpans = async (service: string) =>
    (
      await database<{ span_name: string }[]>`
        SELECT span_name FROM timespan.spans WHERE service_name = ${service} ORDER BY source_offset, source_index`
    ).map(({ span_name }) => span_name);
  const names = (from: number, to: number) =>
    Array.from({ length: to - from }, (_, index) => `span ${from + index}`);

  describe.skipIf(javac === undefined)("Kafka's own producer", () => {
    const compressions = ["none", ...COMPRESSIONS.map(([compression]) => compression)];
    const serviceOf = (compression: string) => `${name}-${compression}`;

    beforeAll(async () => {
      const now = String(BigInt(Date.now()) * 1_000_000n);
      const lines = compressions.flatMap((compression) => {
        const service = serviceOf(compression);
        const events = names(0, 500).map((spanName) => spanEvent({ service_name: service, name: spanName }));
        const request = traceRequest(
          names(0, 100).map((spanName) =>
            span({ name: spanName, startTimeUnixNano: now, endTimeUnixNano: now }),
          ),
          { "service.name": `${service}-otlp` },
        );
        // More than 100 KB: several blocks in each framing.
        return [
          ...events.map((event) => `${compression} ${topics.spans} ${base64(JSON.stringify(event))}`),
          `${compression} ${topics.otlpSpans} ${base64(encodeProtobuf("spans", request))}`,
        ];
      });
      await produceByJava(lines);
    }, 60_000);

    test.each(compressions)("%s", async (compression) => {
      const service = serviceOf(compression);
      await eventually(async () => (await storedSpans(service)).length >= 500, { what: "the spans" });
      await eventually(async () => (await storedSpans(`${service}-otlp`)).length >= 100, {
        what: "the spans of OpenTelemetry",
      });
      expect(await storedSpans(service)).toEqual(names(0, 500));
      expect(await storedSpans(`${service}-otlp`)).toEqual(names(0, 100));
    });
  });

  test.each(COMPRESSIONS)(
    "a batch by %s that bursts is a dead letter with its bytes, and its partition goes on",
    async (compression, type) => {
      const service = uniqueName("svc");
      const producer = testKafka().producer();
      await producer.connect();
      const send = (...values: (string | Buffer)[]) =>
        producer.send({
          topic: topics.spans,
          compression: type,
          messages: values.map((value) => ({ value })),
        });
      const event = (spanName: string) =>
        JSON.stringify(spanEvent({ service_name: service, name: spanName }));
      await send(event("before"));
      const [burst] = await send("small", Buffer.alloc(DECOMPRESSED_BATCH_BYTES_MAX));
      await send(event("after"));
      await producer.disconnect();

      await eventually(async () => (await storedSpans(service)).length >= 2, { what: "the span behind it" });
      expect(await storedSpans(service)).toEqual(["before", "after"]);
      const letters = await database<
        { reason: string; detail: string; source_offset: string; bytes: number }[]
      >`
        SELECT reason, detail, source_offset::text, length(payload) AS bytes FROM timespan.dead_letters
        WHERE source_offset = ${Number(burst?.baseOffset) + 1} AND topic = ${topics.spans}`;
      expect([...letters]).toEqual([
        {
          reason: "unreadable_batch",
          detail: `a batch of 2 records from offset ${burst?.baseOffset} on, compressed by ${compression}: more than ${DECOMPRESSED_BATCH_BYTES_MAX} bytes when decompressed`,
          source_offset: String(Number(burst?.baseOffset) + 1),
          bytes: expect.any(Number),
        },
      ]);
      expect(letters[0]?.bytes).toBeGreaterThan(500);
    },
  );

  test("bad spans of a request are one dead letter that holds them alone, and can be sent again", async () => {
    const service = uniqueName("svc");
    const now = BigInt(Date.now()) * 1_000_000n;
    const at = (spanName: string, nanos: bigint, fields: object = {}) =>
      span({ name: spanName, startTimeUnixNano: String(nanos), endTimeUnixNano: String(nanos), ...fields });
    const old = now - 30n * 86_400_000_000_000n;
    const request = traceRequest(
      [
        at("good 1", now),
        at("old 1", old),
        at("bad", now, { traceId: "" }),
        at("old 2", old),
        at("good 2", now),
      ],
      { "service.name": service },
    );
    const producer = testKafka().producer();
    await producer.connect();
    const [sent] = await producer.send({
      topic: topics.otlpSpans,
      messages: [{ value: encodeProtobuf("spans", request) }],
    });
    await producer.disconnect();
    await eventually(async () => (await storedSpans(service)).length >= 2, { what: "the good spans" });
    expect(await storedSpans(service)).toEqual(["good 1", "good 2"]);
    const letters = await database<
      { reason: string; source_index: number; detail: string; payload: string }[]
    >`
      SELECT reason, source_index, detail, convert_from(payload, 'utf8') AS payload FROM timespan.dead_letters
      WHERE topic = ${topics.otlpSpans} AND source_offset = ${sent?.baseOffset ?? ""} ORDER BY source_index`;
    expect(letters.map(({ reason, source_index }) => `${reason} ${source_index}`)).toEqual([
      "timestamp_too_old 1",
      "invalid_event 2",
    ]);
    expect(letters[0]?.detail).toStartWith("2 of 5 items of the request, the first at 1: timestamp ");
    expect(letters[1]?.detail).toBe(
      "1 of 5 items of the request, the first at 2: trace_id: must be 16 bytes, not all zero",
    );
    const spansOf = (payload: string) => JSON.parse(payload).resourceSpans[0].scopeSpans[0].spans;
    expect(letters.map(({ payload }) => spansOf(payload).map(({ name }: { name: string }) => name))).toEqual([
      ["old 1", "old 2"],
      ["bad"],
    ]);
    expect(spansOf(letters[0]?.payload ?? "")[0].traceId).toBe(TRACE_ID);
  });
});

const base64 = (value: string | Buffer) => Buffer.from(value).toString("base64");

async function produceByJava(lines: readonly string[]): Promise<void> {
  const home = mkdtempSync(join(tmpdir(), "timespan-java-"));
  try {
    const { classpath } = await resolveKafkaJars({ home, environment: process.env, progress: () => {} });
    const file = join(home, "records");
    writeFileSync(file, lines.join("\n"));
    const [broker = ""] = testEnvironment().kafkaBrokers;
    const source = join(import.meta.dir, "otlp-producer.java");
    const child = Bun.spawn(["java", "-cp", classpath, source, broker, file], {
      stdout: "ignore",
      stderr: "pipe",
    });
    const errors = await new Response(child.stderr).text();
    if ((await child.exited) !== 0) throw new Error(errors);
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}
