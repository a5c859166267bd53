/**
 * `bun run bench:ingest [--spans N]`: what it costs to bring spans from Kafka into the store, beside what the store
 * itself can take. Everything is measured in one run on one machine; quote the ratios, not the rates.
 */
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { cpus, tmpdir, totalmem } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { connectKafka } from "@timespan/broker/connect-kafka";
import { ensureTopics } from "@timespan/broker/ensure-topics";
import type { RecordProducer } from "@timespan/broker/producer";
import { createProducer } from "@timespan/broker/producer";
import { findTimescaledb } from "@timespan/local-stack/find-timescaledb";
import { autoPorts, type Stack, startStack } from "@timespan/local-stack/start-stack";
import { createLogger } from "@timespan/runtime/logger";
import { copyBytes } from "@timespan/store/copy/copy-rows";
import { EncodedRows } from "@timespan/store/copy/encoded-rows";
import { closeDatabase, type Database } from "@timespan/store/database";
import { migrate } from "@timespan/store/migrate";
import { spanColumns } from "@timespan/store/spans/span-columns";
import { SPAN_KIND } from "@timespan/telemetry/span-kind";
import { STATUS_CODE } from "@timespan/telemetry/status-code";
import { parseTimestamp } from "@timespan/telemetry/timestamp";
import { decodeSpanEvent } from "@timespan/telemetry/wire/decode-span-event";
import { runApp } from "@timespan/testing/run-app";
import { openAsSuperuser } from "@timespan/testing/test-database";
import { canonicalSpans } from "@timespan/testing/workload/canonical";
import type { SpanEvent } from "@timespan/testing/workload/events";
import { attributes, encodeProtobuf } from "../packages/telemetry/tests/otlp-encode.ts";
import { cpuSeconds, peakMemoryMb } from "./process-cost.ts";

const { values } = parseArgs({
  options: {
    spans: { type: "string", default: "400000" },
    workers: { type: "string", default: "2" },
    engine: { type: "string" },
  },
});
const SPANS = Number(values.spans);
const BATCH_ROWS = 5_000;
const SPANS_PER_REQUEST = 400;
const PARTITIONS = 4;
const STEADY_PER_SECOND = 5_000;
const STEADY_SECONDS = 10;
const TICK_MS = 20;

const workDir = mkdtempSync(join(tmpdir(), "timespan-bench-"));
chmodSync(workDir, 0o755);
const stacks: Stack[] = [];
const logger = createLogger("bench", "error");

try {
  console.log(
    `${cpus().length} cores, ${Math.round(totalmem() / 2 ** 30)} GiB, Bun ${Bun.version}, ${SPANS} spans`,
  );
  const engines = (await findTimescaledb({ environment: process.env })).found
    ? (["installed-timescaledb", "embedded"] as const)
    : (["embedded"] as const);
  for (const engine of engines) {
    if (values.engine === undefined || engine.includes(values.engine)) await benchEngine(engine);
  }
} finally {
  for (const stack of stacks.reverse()) await stack.stop();
  rmSync(workDir, { recursive: true, force: true });
}

async function benchEngine(engine: "embedded" | "installed-timescaledb"): Promise<void> {
  const home = join(workDir, engine);
  mkdirSync(home);
  const [first] = stacks;
  const stack = await startStack({
    home,
    environment: process.env,
    ports: autoPorts,
    docker: "never",
    database: engine,
    ...(first === undefined ? {} : { given: { kafkaBrokers: first.kafkaBrokers } }),
    report: () => {},
  });
  stacks.push(stack);
  await migrate({ databaseUrl: stack.databaseUrl });
  const database = openAsSuperuser(stack.databaseUrl);
  const kafka = stacks[0]?.kafka;
  if (kafka === undefined) throw new Error("no Kafka was started");
  const rates: Record<string, number> = {};
  console.log(`\n## ${engine}`);
  try {
    const events = generate(SPANS);
    console.log(
      `event: ${Math.round(events.reduce((sum, { length }) => sum + length, 0) / SPANS)} bytes of JSON`,
    );

    rates.a = await measureCeiling(database, events);
    console.log(`a  ceiling, one connection, pre-encoded COPY  ${rate(rates.a)}`);
    await database`TRUNCATE timespan.spans, timespan.log_records, timespan.trace_locator`;

    rates.b = await measurePool(stack, database, kafka.pid, {
      name: "b  Kafka → durable rows, JSON    ",
      topic: "spans",
      records: events,
      delay: true,
    });
    await database`TRUNCATE timespan.spans, timespan.log_records, timespan.trace_locator`;
    rates.c = await measurePool(stack, database, kafka.pid, {
      name: "c  Kafka → durable rows, protobuf",
      topic: "otlp",
      records: asExportRequests(events),
      delay: false,
    });
    console.log(`b/a ${(rates.b / rates.a).toFixed(2)}   c/a ${(rates.c / rates.a).toFixed(2)}`);
  } finally {
    await closeDatabase(database);
  }
}

function generate(count: number): string[] {
  const spansPerSecond = count / 300;
  const startMs = Date.now() - 310_000;
  return canonicalSpans({ seed: 7, startMs, spansPerSecond })
    .take(count)
    .map((event) => JSON.stringify(event))
    .toArray();
}

/** The same spans as the Collector sends them: export requests of some hundred spans, in protobuf. */
function asExportRequests(events: readonly string[]): Buffer[] {
  const requests: Buffer[] = [];
  for (let start = 0; start < events.length; start += SPANS_PER_REQUEST) {
    const spans = events
      .slice(start, start + SPANS_PER_REQUEST)
      .map((event) => JSON.parse(event) as SpanEvent);
    const groups = Map.groupBy(spans, ({ service_name, environment }) => `${environment}/${service_name}`);
    const resourceSpans = [...groups.values()].map((group) => ({
      resource: {
        attributes: attributes({
          "service.name": group[0]?.service_name,
          "deployment.environment.name": group[0]?.environment,
        }),
      },
      scopeSpans: [{ spans: group.map(asOtlpSpan) }],
    }));
    requests.push(encodeProtobuf("spans", { resourceSpans }));
  }
  return requests;
}

function asOtlpSpan(event: SpanEvent): object {
  const startUs = BigInt(parseTimestamp(event.timestamp) ?? 0);
  return {
    traceId: event.trace_id,
    spanId: event.span_id,
    ...(event.parent_span_id === null ? {} : { parentSpanId: event.parent_span_id }),
    name: event.name,
    kind: SPAN_KIND[event.kind],
    startTimeUnixNano: String(startUs * 1_000n),
    endTimeUnixNano: String((startUs + BigInt(Math.round(event.duration_ms * 1_000))) * 1_000n),
    status: { code: STATUS_CODE[event.status] },
    attributes: attributes(event.labels ?? {}),
  };
}

/** What one connection can take: bytes that are ready, into the same table with its indexes. Spans a second. */
async function measureCeiling(database: Database, events: readonly string[]): Promise<number> {
  const columns = spanColumns(1);
  const batches: Uint8Array[][] = [];
  for (let start = 0; start < events.length; start += BATCH_ROWS) {
    const rows = events.slice(start, start + BATCH_ROWS).map((event, index) => {
      const decoded = decodeSpanEvent(Buffer.from(event), 0);
      if (!decoded.ok) throw new Error(decoded.rejection.detail);
      return { span: decoded.value, source: { offset: start + index, index: 0 } };
    });
    rows.sort(
      (a, b) =>
        (a.span.serviceName < b.span.serviceName ? -1 : a.span.serviceName > b.span.serviceName ? 1 : 0) ||
        a.span.startTimeUs - b.span.startTimeUs,
    );
    const encoded = new EncodedRows(columns);
    for (const row of rows) encoded.push(row);
    batches.push([...encoded.chunks(rows.keys())]);
  }
  const started = performance.now();
  for (const chunks of batches) {
    await database.begin(async (transaction) => {
      await transaction`SET LOCAL synchronous_commit = off`;
      await copyBytes(transaction, "timespan.spans", columns, chunks);
    });
  }
  return events.length / ((performance.now() - started) / 1_000);
}

/** From Kafka records to durable rows, offsets and all; then the delay at a steady rate. Spans a second. */
async function measurePool(
  stack: Stack,
  database: Database,
  kafkaPid: number | undefined,
  run: { name: string; topic: "spans" | "otlp"; records: readonly (string | Buffer)[]; delay: boolean },
): Promise<number> {
  const name = `bench-${crypto.randomUUID()}`;
  const topics = {
    spans: `${name}.spans`,
    logs: `${name}.logs`,
    errors: `${name}.errors`,
    otlp: `${name}.otlp_spans`,
    otlpLogs: `${name}.otlp_logs`,
  };
  const topic = topics[run.topic];
  const kafka = connectKafka({ brokers: [...stack.kafkaBrokers], clientId: "bench" }, logger);
  await ensureTopics(kafka, Object.values(topics), PARTITIONS);
  const producer = await createProducer(kafka);
  await send(producer, topic, run.records);

  const postgresPid = stack.postgres.pid;
  const cost = (pid: number | undefined) => (pid === undefined ? 0 : (cpuSeconds(pid) ?? 0));
  const before = { postgres: cost(postgresPid), kafka: cost(kafkaPid) };
  const app = await runApp("stream-processor", "STREAM_PROCESSOR_PORT", {
    DATABASE_URL: stack.databaseUrl,
    KAFKA_BROKERS: stack.kafkaBrokers.join(","),
    KAFKA_APM_SPAN_TOPIC: topics.spans,
    KAFKA_APM_LOG_TOPIC: topics.logs,
    KAFKA_APM_LOG_ERROR_TOPIC: topics.errors,
    KAFKA_OTLP_SPAN_TOPIC: `${name}.otlp_spans`,
    KAFKA_OTLP_LOG_TOPIC: `${name}.otlp_logs`,
    KAFKA_CONSUMER_GROUP: name,
    WORKERS: values.workers,
    LOG_LEVEL: "warn",
  });
  try {
    // The group settles while workers join; what counts is the rate once rows flow.
    const progress: { atMs: number; rows: number }[] = [];
    let startCpu: number | undefined;
    for (;;) {
      const rows = await storedRows(database, topic);
      progress.push({ atMs: performance.now(), rows });
      if (rows > 0) startCpu ??= cost(app.pid);
      if (rows >= SPANS) break;
      await Bun.sleep(TICK_MS);
    }
    const last = progress.at(-1);
    const steady = progress.find(({ rows }) => rows >= SPANS * 0.1);
    if (last === undefined || steady === undefined) throw new Error("nothing was stored");
    const perSecond = ((last.rows - steady.rows) / (last.atMs - steady.atMs)) * 1_000;
    const million = SPANS / 1_000_000;
    const poolCpu = cost(app.pid);
    console.log(`${run.name}, ${values.workers} workers   ${rate(perSecond)}`);
    console.log(
      `   CPU seconds per million spans: pool ${(poolCpu / million).toFixed(1)} ` +
        `(${startCpu?.toFixed(1)} until the first row was stored, whatever the number of spans), ` +
        `Postgres ${((cost(postgresPid) - before.postgres) / million).toFixed(1)}, ` +
        `Kafka ${((cost(kafkaPid) - before.kafka) / million).toFixed(1)}; pool's peak memory ${peakMemoryMb(app.pid).toFixed(0)} MB`,
    );
    if (run.delay) await measureDelay(producer, database, topic);
    return perSecond;
  } finally {
    await app.stop();
    await producer.disconnect();
  }
}

/** From handing a record to the producer to its offset being committed in the store, at a steady rate. */
async function measureDelay(producer: RecordProducer, database: Database, topic: string): Promise<void> {
  const base = await storedRows(database, topic);
  const sentAtMs: number[] = [];
  const delays: number[] = [];
  let done = false;
  const events = generate(STEADY_PER_SECOND * STEADY_SECONDS);
  const watching = (async () => {
    let seen = 0;
    while (!done || seen < sentAtMs.length) {
      const stored = (await storedRows(database, topic)) - base;
      const now = performance.now();
      // Partitions overtake each other within a tick; over thousands of records the ranks are the same.
      for (; seen < stored; seen++) delays.push(now - (sentAtMs[seen] ?? now));
      await Bun.sleep(5);
    }
  })();
  const perTick = (STEADY_PER_SECOND * TICK_MS) / 1_000;
  const started = performance.now();
  for (let sent = 0; sent < events.length; sent += perTick) {
    const due = started + (sent / STEADY_PER_SECOND) * 1_000;
    await Bun.sleep(Math.max(0, due - performance.now()));
    const now = performance.now();
    const slice = events.slice(sent, sent + perTick);
    for (const _ of slice) sentAtMs.push(now);
    await send(producer, topic, slice);
  }
  done = true;
  await watching;
  delays.sort((a, b) => a - b);
  const at = (q: number) => Math.round(delays[Math.floor(delays.length * q)] ?? 0);
  console.log(
    `   produce → queryable at ${STEADY_PER_SECOND}/s: p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, max ${at(0.9999)} ms`,
  );
}

async function storedRows(database: Database, topic: string): Promise<number> {
  const [row] = await database<{ rows: number }[]>`
    SELECT coalesce(sum(row_count), 0)::int AS rows FROM timespan.ingest_offsets WHERE topic = ${topic}`;
  return row?.rows ?? 0;
}

async function send(
  producer: RecordProducer,
  topic: string,
  events: readonly (string | Buffer)[],
): Promise<void> {
  // About half a megabyte a request: Kafka's own limit is one.
  const CHUNK = Math.max(1, Math.floor(500_000 / (events[0]?.length ?? 1)));
  for (let start = 0; start < events.length; start += CHUNK) {
    await producer.send(
      topic,
      events.slice(start, start + CHUNK).map((value, index) => ({ key: String(start + index), value })),
    );
  }
}

function rate(perSecond: number): string {
  return `${Math.round(perSecond).toLocaleString("en")} spans/s`;
}
