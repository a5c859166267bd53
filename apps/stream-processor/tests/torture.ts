import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectKafka } from "@timespan/broker/connect-kafka";
import { ensureTopics } from "@timespan/broker/ensure-topics";
import { createProducer } from "@timespan/broker/producer";
import { autoPorts, startStack } from "@timespan/local-stack/start-stack";
import { createLogger } from "@timespan/runtime/logger";
import { closeDatabase, type Database } from "@timespan/store/database";
import { migrate } from "@timespan/store/migrate";
import { logEvent, spanEvent, uniqueName } from "@timespan/testing/events";
import { readTopic, type TopicRecord } from "@timespan/testing/read-topic";
import { eventually, type RunningApp, runApp } from "@timespan/testing/run-app";
import { openAsSuperuser } from "@timespan/testing/test-database";
import { createRandom } from "@timespan/testing/workload/random";

export interface TortureOptions {
  seconds: number;
  seed: number;
  eventsPerSecond: number;
  log(line: string): void;
}

/** What Kafka holds beside what the store holds; the law is that they are the same. */
export interface TortureResult {
  faults: Record<string, number>;
  kafka: { spans: number; logs: number; poison: number; errors: number };
  store: { spans: number; logs: number; deadLetters: number };
  /** Records of Kafka without a row, with more than one, and rows without a record. */
  lost: number;
  doubled: number;
  invented: number;
  /** Poison without a dead letter or with more than one; dead letters that are not poison. */
  wrongDeadLetters: number;
  /** ERROR logs that were never forwarded. */
  errorsNotForwarded: number;
  /** Numbered events whose sending was acknowledged and that Kafka does not hold: a fault of the test itself. */
  acknowledgedNotInKafka: number;
}

/** What a fault gives back that had nothing to act on, and so is not counted. */
const NOT_INJECTED = Symbol("not injected");

const PARTITIONS = 4;
const SESSION_TIMEOUT_MS = 6_000;
const POISON_SHARE = 0.002;
const ERROR_SHARE = 0.05;
/** How long everything may take to be stored after the last fault. */
const SETTLE_TIMEOUT_MS = 120_000;

/**
 * Steady production of numbered events while processes are killed, stopped past the session time-out, added and
 * taken away, Postgres and Kafka are restarted and connections cut. What Kafka then holds is the truth: every record
 * has an offset, and every row says which record it came from.
 */
export async function torture(options: TortureOptions): Promise<TortureResult> {
  const { seconds, log } = options;
  const random = createRandom(options.seed, 0);
  const home = mkdtempSync(join(tmpdir(), "timespan-torture-"));
  chmodSync(home, 0o755);
  const stack = await startStack({
    home,
    environment: process.env,
    ports: autoPorts,
    docker: "never",
    pgBin: process.env.TIMESPAN_PG_BIN,
    report: log,
  });
  const running: RunningApp[] = [];
  const everStarted: RunningApp[] = [];
  let database: Database | undefined;
  try {
    await migrate({ databaseUrl: stack.databaseUrl });
    database = openAsSuperuser(stack.databaseUrl);
    const name = uniqueName("torture");
    const topics = { spans: `${name}.spans`, logs: `${name}.logs`, errors: `${name}.errors` };
    const kafka = connectKafka(
      { brokers: [...stack.kafkaBrokers], clientId: name },
      createLogger("torture", "silent"),
    );
    await ensureTopics(kafka, Object.values(topics), PARTITIONS);

    const env = {
      DATABASE_URL: stack.databaseUrl,
      KAFKA_BROKERS: stack.kafkaBrokers.join(","),
      KAFKA_APM_SPAN_TOPIC: topics.spans,
      KAFKA_APM_LOG_TOPIC: topics.logs,
      KAFKA_APM_LOG_ERROR_TOPIC: topics.errors,
      KAFKA_OTLP_SPAN_TOPIC: `${name}.otlp_spans`,
      KAFKA_OTLP_LOG_TOPIC: `${name}.otlp_logs`,
      KAFKA_CONSUMER_GROUP: name,
      KAFKA_SESSION_TIMEOUT_MS: String(SESSION_TIMEOUT_MS),
      BULK_FLUSH_INTERVAL_MS: "200",
      BULK_BATCH_SIZE: "400",
      WORKERS: "2",
      LOG_LEVEL: "info",
    };
    const startProcess = async () => {
      const app = await runApp("stream-processor", "STREAM_PROCESSOR_PORT", env, { awaitReady: false });
      running.push(app);
      everStarted.push(app);
    };
    await startProcess();
    await startProcess();

    const faults: Record<string, number> = {};
    const victim = () => running[Math.floor(random.next() * running.length)];
    const cutConnections = () =>
      database?.unsafe(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'timespan stream%'",
      );
    const kinds: Record<string, () => Promise<unknown>> = {
      "process killed": async () => {
        const app = victim();
        app?.kill("SIGKILL");
        running.splice(0, running.length, ...running.filter((each) => each !== app));
        await startProcess();
      },
      "process stopped past its session": async () => {
        const app = victim();
        app?.kill("SIGSTOP");
        await Bun.sleep(SESSION_TIMEOUT_MS + 2_000);
        app?.kill("SIGCONT");
      },
      "scaled up": async () => {
        if (running.length >= 3) return NOT_INJECTED;
        return startProcess();
      },
      "scaled down": async () => {
        if (running.length < 2) return NOT_INJECTED;
        return running.shift()?.stop();
      },
      "connections cut": async () => cutConnections(),
      "Postgres restarted": async () => {
        await stack.postgres.stop();
        await Bun.sleep(1_000);
        await stack.postgres.start();
      },
      "Kafka restarted": async () => {
        await stack.kafka.stop();
        await Bun.sleep(500);
        await stack.kafka.start();
      },
    };

    const producing = new AbortController();
    const acknowledged = new Set<string>();
    const production = produceNumbered(producing.signal);
    const deadline = performance.now() + seconds * 1_000;
    // Each kind once, in an order by chance, and over again until the time is up.
    while (performance.now() < deadline) {
      const order = Object.entries(kinds)
        .map((kind) => ({ kind, rank: random.next() }))
        .sort((a, b) => a.rank - b.rank);
      for (const { kind } of order) {
        if (performance.now() > deadline) break;
        const [fault, inject] = kind;
        log(`fault: ${fault}`);
        if ((await inject()) === NOT_INJECTED) log("  (not possible right now)");
        else faults[fault] = (faults[fault] ?? 0) + 1;
        await Bun.sleep(500 + random.next() * 2_000);
      }
    }
    producing.abort();
    await production;
    if (running.length === 0) await startProcess();

    const held = {
      spans: await readTopic(kafka, topics.spans),
      logs: await readTopic(kafka, topics.logs),
    };
    const store = database;
    await eventually(async () => (await behind(store, topics, held)) === 0, {
      timeoutMs: SETTLE_TIMEOUT_MS,
      what: "everything to be stored",
    }).catch((error: unknown) => log(String(error)));
    const result = await compare(store, topics, held, await readTopic(kafka, topics.errors), faults);
    return { ...result, acknowledgedNotInKafka: missingFrom(held, acknowledged) };

    async function produceNumbered(signal: AbortSignal): Promise<void> {
      const producer = await createProducer(kafka);
      const TICK_MS = 100;
      const perTick = Math.ceil((options.eventsPerSecond * TICK_MS) / 1_000 / 2);
      for (let number = 0; !signal.aborted; ) {
        const ids: string[] = [];
        const spans: { key: string; value: string }[] = [];
        const logs: { key: string; value: string }[] = [];
        for (let index = 0; index < perTick; index++, number++) {
          const poison = random.next() < POISON_SHARE;
          const error = random.next() < ERROR_SHARE;
          const span = JSON.stringify(spanEvent({ service_name: name, name: `span ${number}` }));
          const record = JSON.stringify(
            logEvent({ service_name: name, message: `log ${number}`, level: error ? "ERROR" : "INFO" }),
          );
          spans.push({ key: String(number), value: poison ? `poison ${number} ${span}` : span });
          logs.push({ key: String(number), value: record });
          ids.push(`log ${number}`);
          if (!poison) ids.push(`span ${number}`);
        }
        try {
          await producer.send(topics.spans, spans);
          await producer.send(topics.logs, logs);
          for (const id of ids) acknowledged.add(id);
        } catch {
          // Kafka is away; what was sent may be there or not, once or twice: Kafka itself is asked at the end.
          await Bun.sleep(500);
        }
        await Bun.sleep(TICK_MS);
      }
      await producer.disconnect();
    }
  } finally {
    for (const app of everStarted) {
      app.kill("SIGCONT");
      app.kill("SIGKILL");
    }
    if (database !== undefined) await closeDatabase(database);
    await stack.stop();
    rmSync(home, { recursive: true, force: true });
  }
}

type Topics = { spans: string; logs: string; errors: string };
type Held = { spans: TopicRecord[]; logs: TopicRecord[] };

/** How many offsets of what Kafka held are not yet behind the ledger. */
async function behind(database: Database, topics: Topics, held: Held): Promise<number> {
  const rows = await database<{ topic: string; partition: number; next_offset: number }[]>`
    SELECT topic, partition, next_offset::int FROM timespan.ingest_offsets`.catch(() => []);
  const next = new Map(rows.map((row) => [`${row.topic}/${row.partition}`, row.next_offset]));
  const missing = (topic: string, records: TopicRecord[]) =>
    records.filter(({ partition, offset }) => offset >= (next.get(`${topic}/${partition}`) ?? 0)).length;
  return missing(topics.spans, held.spans) + missing(topics.logs, held.logs);
}

async function compare(
  database: Database,
  topics: Topics,
  held: Held,
  forwarded: TopicRecord[],
  faults: Record<string, number>,
): Promise<Omit<TortureResult, "acknowledgedNotInKafka">> {
  const positions = async (table: "spans" | "log_records" | "dead_letters", topic: string) => {
    const rows =
      table === "dead_letters"
        ? await database<{ key: string }[]>`
            SELECT partition || '/' || source_offset AS key FROM timespan.dead_letters WHERE topic = ${topic}`
        : await database<{ key: string }[]>`
            SELECT o.partition || '/' || r.source_offset AS key
            FROM ${database(`timespan.${table}`)} r JOIN timespan.ingest_offsets o USING (source_id)
            WHERE o.topic = ${topic}`;
    return rows.map(({ key }) => key);
  };
  const isPoison = ({ value }: TopicRecord) => value?.toString().startsWith("poison") ?? true;
  const keyOf = ({ partition, offset }: TopicRecord) => `${partition}/${offset}`;
  const spans = await positions("spans", topics.spans);
  const logs = await positions("log_records", topics.logs);
  const letters = [
    ...(await positions("dead_letters", topics.spans)),
    ...(await positions("dead_letters", topics.logs)).map((key) => `logs ${key}`),
  ];
  const poison = held.spans.filter(isPoison);
  const good = held.spans.filter((record) => !isPoison(record));
  const spanDiff = difference(good.map(keyOf), spans);
  const logDiff = difference(held.logs.map(keyOf), logs);
  const letterDiff = difference(poison.map(keyOf), letters);
  const errors = held.logs
    .map(({ value }) => JSON.parse(String(value)))
    .filter(({ level }) => level === "ERROR");
  const forwardedMessages = new Set(forwarded.map(({ value }) => JSON.parse(String(value)).message));
  return {
    faults,
    kafka: { spans: good.length, logs: held.logs.length, poison: poison.length, errors: errors.length },
    store: { spans: spans.length, logs: logs.length, deadLetters: letters.length },
    lost: spanDiff.missing + logDiff.missing,
    doubled: spanDiff.doubled + logDiff.doubled,
    invented: spanDiff.invented + logDiff.invented,
    wrongDeadLetters: letterDiff.missing + letterDiff.doubled + letterDiff.invented,
    errorsNotForwarded: errors.filter(({ message }) => !forwardedMessages.has(message)).length,
  };
}

function difference(expected: readonly string[], actual: readonly string[]) {
  const wanted = new Set(expected);
  const found = new Set(actual);
  return {
    missing: [...wanted].filter((key) => !found.has(key)).length,
    invented: [...found].filter((key) => !wanted.has(key)).length,
    doubled: actual.length - found.size,
  };
}

function missingFrom(held: Held, acknowledged: ReadonlySet<string>): number {
  const present = new Set<string>();
  for (const { value } of held.spans) {
    const text = String(value);
    if (!text.startsWith("poison")) present.add(JSON.parse(text).name);
  }
  for (const { value } of held.logs) present.add(JSON.parse(String(value)).message);
  return [...acknowledged].filter((id) => !present.has(id)).length;
}
