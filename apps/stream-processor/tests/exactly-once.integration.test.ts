/**
 * The guarantee that everything rests on, against the real process, the real Kafka and a real database: no event is
 * lost or stored twice, whatever is killed when.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { chmod } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { autoPorts, type Stack, startStack } from "@timespan/local-stack/start-stack";
import { closeDatabase, type Database } from "@timespan/store/database";
import { migrate } from "@timespan/store/migrate";
import { spanEvent, uniqueName } from "@timespan/testing/events";
import { produce } from "@timespan/testing/produce";
import { eventually, type RunningApp, runApp } from "@timespan/testing/run-app";
import { createTestDatabase, openAsSuperuser, type TestDatabase } from "@timespan/testing/test-database";
import { testEngines, testEnvironment } from "@timespan/testing/test-environment";

/** How long Postgres stays away in the test of an outage. */
const OUTAGE_MS = 20_000;

/** A process with topics and a consumer group of its own, which a second one can take over. */
function processorEnv(databaseUrl: string, settings: Record<string, string> = {}) {
  const name = uniqueName("apm");
  return {
    DATABASE_URL: databaseUrl,
    KAFKA_BROKERS: testEnvironment().kafkaBrokers.join(","),
    KAFKA_APM_SPAN_TOPIC: `${name}.spans`,
    KAFKA_APM_LOG_TOPIC: `${name}.logs`,
    KAFKA_APM_LOG_ERROR_TOPIC: `${name}.errors`,
    KAFKA_OTLP_SPAN_TOPIC: `${name}.otlp_spans`,
    KAFKA_OTLP_LOG_TOPIC: `${name}.otlp_logs`,
    KAFKA_CONSUMER_GROUP: name,
    KAFKA_TOPIC_PARTITIONS: "2",
    // Kafka's own minimum: a killed process's partitions are given away after it.
    KAFKA_SESSION_TIMEOUT_MS: "6000",
    BULK_FLUSH_INTERVAL_MS: "200",
    BULK_BATCH_SIZE: "500",
    ...settings,
  };
}

const start = (env: Record<string, string>) => runApp("stream-processor", "STREAM_PROCESSOR_PORT", env);

const numberedSpans = (service: string, from: number, to: number) =>
  Array.from({ length: to - from }, (_, index) =>
    spanEvent({ service_name: service, name: `span ${from + index}` }),
  );

/** How often each of the spans 0..count-1 is stored: for the law to hold, once. */
async function storedTimes(database: Database, service: string): Promise<{ names: number; rows: number }> {
  const [row] = await database<{ names: number; rows: number }[]>`
    SELECT count(DISTINCT span_name)::int AS names, count(*)::int AS rows
    FROM timespan.spans WHERE service_name = ${service}`;
  return row ?? { names: 0, rows: 0 };
}

const allStored = (database: Database, service: string, count: number, timeoutMs = 30_000) =>
  eventually(async () => (await storedTimes(database, service)).names >= count, {
    timeoutMs,
    what: `${count} spans of ${service} to be stored`,
  });

for (const { engine, present } of testEngines()) {
  describe.skipIf(!present)(`the stream-processor on ${engine}`, () => {
    let created: TestDatabase;
    let database: Database;
    const running: RunningApp[] = [];

    beforeAll(async () => {
      created = await createTestDatabase(engine);
      database = openAsSuperuser(created.url);
    });
    afterAll(async () => {
      for (const app of running) app.kill("SIGKILL");
      await closeDatabase(database);
      await created.drop();
    });

    async function run(env: Record<string, string>): Promise<RunningApp> {
      const app = await start(env);
      running.push(app);
      return app;
    }

    test("SIGKILL between COPY and commit loses and doubles nothing", async () => {
      const env = processorEnv(created.url);
      const service = uniqueName("svc");
      const victim = await run(env);
      const holder = await database.reserve();
      await holder`BEGIN`;
      await holder`SELECT FROM timespan.ingest_offsets WHERE topic = ${env.KAFKA_APM_SPAN_TOPIC} FOR UPDATE`;
      await produce(env.KAFKA_APM_SPAN_TOPIC, numberedSpans(service, 0, 400));
      // The offset moves after all rows were copied: who waits for it has copied and not committed.
      await eventually(
        async () =>
          (
            await database`SELECT FROM pg_stat_activity
                           WHERE wait_event_type = 'Lock' AND query LIKE '%UPDATE timespan.ingest_offsets%'
                             AND datname = current_database() AND application_name LIKE 'timespan stream%'`
          ).count > 0,
        { what: "a batch to be between COPY and commit" },
      );
      victim.kill("SIGKILL");
      await victim.exited;
      await holder`ROLLBACK`;
      holder.release();

      const successor = await run(env);
      await allStored(database, service, 400);
      await successor.stop();
      expect(await storedTimes(database, service)).toEqual({ names: 400, rows: 400 });
    });

    test("SIGKILL right after a commit loses and doubles nothing", async () => {
      const env = processorEnv(created.url);
      const service = uniqueName("svc");
      const victim = await run(env);
      await produce(env.KAFKA_APM_SPAN_TOPIC, numberedSpans(service, 0, 6_000));
      for (;;) {
        const { rows } = await storedTimes(database, service);
        if (rows > 0) break;
      }
      victim.kill("SIGKILL");
      await victim.exited;
      const { rows } = await storedTimes(database, service);
      expect(rows).toBeLessThan(6_000); // killed in the middle, or this shows nothing

      const successor = await run(env);
      await allStored(database, service, 6_000);
      await successor.stop();
      expect(await storedTimes(database, service)).toEqual({ names: 6_000, rows: 6_000 });
    });

    test("SIGTERM in the middle of a stream writes what was read and ends cleanly", async () => {
      const env = {
        ...processorEnv(created.url),
        BULK_FLUSH_INTERVAL_MS: "60000",
        BULK_BATCH_SIZE: "100000",
      };
      const service = uniqueName("svc");
      const first = await run(env);
      await produce(env.KAFKA_APM_SPAN_TOPIC, numberedSpans(service, 0, 300));
      await eventually(async () => /timespan_ingest_buffered_bytes [1-9]/.test(await metricsOf(first)), {
        what: "the events to be read",
      });
      expect((await storedTimes(database, service)).rows).toBe(0);
      await first.stop();
      expect(await first.exited).toBe(0);
      expect((await storedTimes(database, service)).rows).toBeGreaterThan(0);
      const second = await run({ ...env, BULK_FLUSH_INTERVAL_MS: "200" });
      await allStored(database, service, 300);
      await second.stop();
      expect(await storedTimes(database, service)).toEqual({ names: 300, rows: 300 });
    });

    test("two processes share the partitions; one is killed, and every event is stored once", async () => {
      const env = processorEnv(created.url);
      const service = uniqueName("svc");
      const topic = env.KAFKA_APM_SPAN_TOPIC;
      const one = await run(env);
      await produce(topic, numberedSpans(service, 0, 1_000));
      const two = await run(env);
      await produce(topic, numberedSpans(service, 1_000, 2_000));
      one.kill("SIGKILL");
      await produce(topic, numberedSpans(service, 2_000, 3_000));
      // Kafka gives the dead member's partitions away when its session has timed out.
      await allStored(database, service, 3_000, 60_000);
      await two.stop();
      expect(await storedTimes(database, service)).toEqual({ names: 3_000, rows: 3_000 });
    });
  });
}

describe("while Postgres is away", () => {
  for (const { engine, present } of testEngines()) {
    test.skipIf(!present)(
      `for ${OUTAGE_MS / 1_000} s during traffic: everything arrives after (${engine})`,
      async () => {
        const home = mkdtempSync(join(tmpdir(), "timespan-outage-"));
        await chmod(home, 0o755);
        let stack: Stack | undefined;
        let app: RunningApp | undefined;
        let database: Database | undefined;
        try {
          // A server of its own: the others' tests go on.
          stack = await startStack({
            home,
            environment: process.env,
            ports: autoPorts,
            docker: "never",
            database: engine === "timescaledb" ? "installed-timescaledb" : "embedded",
            pgBin: process.env.TIMESPAN_PG_BIN,
            given: { kafkaBrokers: testEnvironment().kafkaBrokers },
            report: () => {},
          });
          await migrate({ databaseUrl: stack.databaseUrl });
          const env = processorEnv(stack.databaseUrl);
          const topic = env.KAFKA_APM_SPAN_TOPIC;
          const service = uniqueName("svc");
          app = await start(env);
          const ROUNDS = 16;
          const PER_ROUND = 200;
          let produced = 0;
          for (let round = 0; round < ROUNDS; round++) {
            if (round === 3) await stack.postgres.stop();
            if (round === ROUNDS - 3) await stack.postgres.start();
            await produce(topic, numberedSpans(service, produced, produced + PER_ROUND));
            produced += PER_ROUND;
            await Bun.sleep(OUTAGE_MS / (ROUNDS - 6));
            if (round === 8) {
              const ready = await fetch(`${app.url}/ready`);
              expect(ready.status).toBe(503);
              expect(await ready.text()).toContain("the store does not take batches");
            }
          }
          database = openAsSuperuser(stack.databaseUrl);
          await allStored(database, service, produced, 60_000);
          expect(await storedTimes(database, service)).toEqual({ names: produced, rows: produced });
          const recovered = app;
          await eventually(async () => (await fetch(`${recovered.url}/ready`)).status === 200, {
            what: "the process to be ready again",
          });
        } finally {
          await app?.stop();
          if (database !== undefined) await closeDatabase(database);
          await stack?.stop();
          rmSync(home, { recursive: true, force: true });
        }
      },
    );
  }
});

async function metricsOf(app: RunningApp): Promise<string> {
  return (await fetch(`${app.url}/metrics`)).text();
}
