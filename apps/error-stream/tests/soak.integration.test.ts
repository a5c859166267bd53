/**
 * A minute of everything at once: clients come, go, stall and come back with their last id, to whichever instance,
 * while instances and Kafka are restarted. At the end each client must have what its filter matches, each once, minus
 * exactly what it was told was dropped.
 */
import { expect, test } from "bun:test";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectKafka } from "@timespan/broker/connect-kafka";
import { ensureTopics } from "@timespan/broker/ensure-topics";
import { createProducer } from "@timespan/broker/producer";
import { autoPorts, startStack } from "@timespan/local-stack/start-stack";
import { systemClock } from "@timespan/runtime/clock";
import { createLogger } from "@timespan/runtime/logger";
import { migrate } from "@timespan/store/migrate";
import { decodeErrorEvent, type ErrorEvent } from "@timespan/telemetry/wire/error-event";
import { logEvent } from "@timespan/testing/events";
import { readTopic } from "@timespan/testing/read-topic";
import { eventually, type RunningApp, runApp } from "@timespan/testing/run-app";
import { engines } from "./engines.ts";
import { connectRawWebSocket, type RawClient } from "./live-client.ts";

const CLIENTS = 12;
const SERVICES = ["cart", "search", "checkout"];
/** Large enough that a stalled socket is full within seconds. */
const MESSAGE_CHARACTERS = 12_000;
const EVENTS_PER_TICK = 20;
const TICK_MS = 100;
/** How long errors come, however long restarts take: there is no more to catch up with on a slow machine. */
const PRODUCING_MS = 40_000;
/** When things go wrong, after the start; at once where what went wrong before took longer. */
const FAULTS_AT_MS = {
  stopFirst: 5_000,
  killSecond: 10_000,
  stopKafka: 15_000,
  stopSecond: 25_000,
  killFirst: 30_000,
};
const KAFKA_AWAY_MS = 1_000;
const STALL_MS_TO_BE_CLOSED = 14_000;
const TIMEOUT_MS = 240_000;

type Matched = Pick<ErrorEvent, "service_name" | "environment" | "message">;
const FILTERS: { query: string; matches(event: Matched): boolean }[] = [
  { query: "", matches: () => true },
  { query: "service_name=cart", matches: ({ service_name }) => service_name === "cart" },
  {
    query: "service_name=search,checkout&environment=staging",
    matches: ({ service_name, environment }) => service_name !== "cart" && environment === "staging",
  },
  { query: "message=%237", matches: ({ message }) => message.includes("#7") },
];

test(
  "each client has what its filter matches, minus exactly what it was told was dropped",
  async () => {
    const home = mkdtempSync(join(tmpdir(), "timespan-soak-"));
    chmodSync(home, 0o755);
    const stack = await startStack({
      home,
      environment: process.env,
      ports: autoPorts,
      docker: "never",
      database: "embedded",
      report: () => {},
    });
    const apps: RunningApp[] = [];
    try {
      await migrate({ databaseUrl: stack.databaseUrl });
      const topics = { logs: "soak.logs", spans: "soak.spans", errors: "soak.errors" };
      const kafka = connectKafka(
        { brokers: [...stack.kafkaBrokers], clientId: "soak" },
        createLogger("soak", "silent"),
      );
      await ensureTopics(kafka, Object.values(topics), 3);
      const env = {
        KAFKA_BROKERS: stack.kafkaBrokers.join(","),
        DATABASE_URL: stack.databaseUrl,
        KAFKA_APM_LOG_TOPIC: topics.logs,
        KAFKA_APM_SPAN_TOPIC: topics.spans,
        KAFKA_APM_LOG_ERROR_TOPIC: topics.errors,
        KAFKA_SESSION_TIMEOUT_MS: "6000",
        WORKERS: "1",
        // Small, so that replays reach into the store and slow clients lose something.
        ERROR_STREAM_RING_EVENTS: "300",
        ERROR_STREAM_CLIENT_BUFFER_EVENTS: "150",
        ERROR_STREAM_SLOW_CLIENT_MS: "8000",
        LOG_LEVEL: "info",
      };
      apps.push(await runApp("stream-processor", "STREAM_PROCESSOR_PORT", env));
      // One instance on each engine that is there, and two on Bun where there is one.
      const used = engines.filter(({ missing }) => missing === undefined);
      const instances = await Promise.all(
        [used[0], used.at(-1)].map(async (engine) => {
          if (engine === undefined) throw new Error("no engine");
          const app = await engine.run(env);
          apps.push(app);
          return { engine, app, port: Number(new URL(app.url).port) };
        }),
      );

      const startedIso = new Date().toISOString();
      const clients = Array.from(
        { length: CLIENTS },
        (_, index) => new SoakClient(index, startedIso, instances),
      );
      const over = new AbortController();
      const running = clients.map((client) => client.run(over.signal));

      const startedMs = performance.now();
      const producing = (async () => {
        const producer = await createProducer(kafka);
        let number = 0;
        while (performance.now() - startedMs < PRODUCING_MS) {
          const records = Array.from({ length: EVENTS_PER_TICK }, () => {
            number++;
            return {
              key: String(number),
              value: JSON.stringify(
                logEvent({
                  level: number % 4 === 0 ? "INFO" : "ERROR",
                  service_name: SERVICES[number % SERVICES.length] ?? "",
                  environment: number % 5 === 0 ? "staging" : "production",
                  message: `#${number} ${"x".repeat(MESSAGE_CHARACTERS)}`,
                }),
              ),
            };
          });
          // Kafka is away now and then; what it holds at the end is the truth.
          await producer.send(topics.logs, records).catch(() => {});
          await Bun.sleep(TICK_MS);
        }
        await producer.disconnect();
      })();

      const restart = async (index: number, signal: NodeJS.Signals) => {
        const instance = instances[index];
        if (instance === undefined) return;
        instance.app.kill(signal);
        await instance.app.exited;
        instance.app = await instance.engine.run(env, { port: instance.port });
        apps.push(instance.app);
      };
      const at = (ms: number) => Bun.sleep(Math.max(0, startedMs + ms - performance.now()));
      await at(FAULTS_AT_MS.stopFirst);
      await restart(0, "SIGTERM");
      await at(FAULTS_AT_MS.killSecond);
      await restart(1, "SIGKILL");
      await at(FAULTS_AT_MS.stopKafka);
      await stack.kafka.stop();
      await Bun.sleep(KAFKA_AWAY_MS);
      await stack.kafka.start();
      await at(FAULTS_AT_MS.stopSecond);
      await restart(1, "SIGTERM");
      await at(FAULTS_AT_MS.killFirst);
      await restart(0, "SIGKILL");
      await producing;
      over.abort();
      await Promise.all(running);

      // From here on all of them read. What Kafka holds is what they must have.
      const settled = new AbortController();
      const catchingUp = clients.map((client) => client.catchUp(settled.signal));
      // Each error that Kafka took becomes one event, so it is known what is to come before it has all come.
      const logged = await loggedErrors();
      const expectedOf = (client: SoakClient) => logged.filter(client.filter.matches).length;
      try {
        const expected = new Map(clients.map((client) => [client, expectedOf(client)]));
        await eventually(() => [...expected].every(([{ accounted }, count]) => accounted >= count), {
          timeoutMs: 60_000,
          what: "every client to have everything",
        });
        // What should not come would come now.
        await Bun.sleep(1_000);
      } finally {
        settled.abort();
        await Promise.all(catchingUp);
        console.log(
          clients.map((client) => ({
            filter: client.filter.query,
            expected: expectedOf(client),
            received: client.received.size,
            dropped: client.dropped,
            repeats: client.repeats,
            connects: client.connects,
            stalls: client.stalls,
            incomplete: client.incomplete,
          })),
        );
      }
      const sent = await distinctErrors();
      expect(sent.length).toBe(logged.length);
      for (const client of clients) {
        const matching = new Set(sent.filter(client.filter.matches).map(({ event_id }) => event_id));
        expect(client.repeats).toBe(0);
        expect(client.incomplete).toBe(0);
        expect([...client.received].filter((id) => !matching.has(id))).toEqual([]);
        expect(client.received.size).toBe(matching.size - client.dropped);
      }
      // A soak in which nothing went wrong shows nothing.
      expect(clients.some(({ dropped }) => dropped > 0)).toBe(true);
      expect(clients.every(({ connects }) => connects > 2)).toBe(true);

      async function loggedErrors(): Promise<Matched[]> {
        const logs = (await readTopic(kafka, topics.logs)).map(({ value }) => JSON.parse(String(value)));
        return logs.filter(({ level }) => level === "ERROR");
      }

      async function distinctErrors(): Promise<ErrorEvent[]> {
        const events = new Map<string, ErrorEvent>();
        for (const { value } of await readTopic(kafka, topics.errors)) {
          const event = decodeErrorEvent(value)?.event;
          if (event !== undefined) events.set(event.event_id, event);
        }
        return [...events.values()];
      }
    } finally {
      for (const app of apps) await app.stop();
      await stack.stop();
      rmSync(home, { recursive: true, force: true });
    }
  },
  TIMEOUT_MS,
);

/** A client that behaves badly, and keeps its books. */
class SoakClient {
  readonly filter: (typeof FILTERS)[number];
  readonly received = new Set<string>();
  /** Told to be dropped, and not replayed after all. */
  dropped = 0;
  repeats = 0;
  connects = 0;
  stalls = 0;
  incomplete = 0;
  /** Told to be dropped since the last id: who breaks off now gets them after all. */
  #droppedSinceId = 0;
  #lastId: string | undefined;
  readonly #startedIso: string;
  readonly #instances: readonly { app: RunningApp }[];

  readonly #index: number;

  constructor(index: number, startedIso: string, instances: readonly { app: RunningApp }[]) {
    this.#index = index;
    this.filter = FILTERS[index % FILTERS.length] ?? { query: "", matches: () => true };
    this.#startedIso = startedIso;
    this.#instances = instances;
  }

  get accounted(): number {
    return this.received.size + this.dropped + this.#droppedSinceId;
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const socket = await this.#connect();
      if (socket === undefined) continue;
      for (
        let acts = Math.ceil(Math.random() * 4);
        acts > 0 && !socket.isClosed() && !signal.aborted;
        acts--
      ) {
        await systemClock.sleep(500 + Math.random() * 2_500, signal);
        // The first client of each filter stalls whatever happens, one of them for so long that it is closed.
        const must = this.stalls === 0 && this.#index < FILTERS.length;
        if (!must && Math.random() > 0.4) continue;
        this.stalls++;
        socket.pause();
        const stallMs = must && this.#index === 1 ? STALL_MS_TO_BE_CLOSED : 3_000 + Math.random() * 3_000;
        await systemClock.sleep(stallMs, signal);
        socket.resume();
        await systemClock.sleep(500, signal);
      }
      await this.#leave(socket);
    }
  }

  /** Behaves well, to the end. */
  async catchUp(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const socket = await this.#connect();
      while (socket !== undefined && !socket.isClosed() && !signal.aborted) await Bun.sleep(100);
      if (socket !== undefined) await this.#leave(socket);
    }
    this.dropped += this.#droppedSinceId;
    this.#droppedSinceId = 0;
  }

  async #connect(): Promise<RawClient | undefined> {
    const { app } = this.#instances[Math.floor(Math.random() * this.#instances.length)] ?? {};
    const query = `?${this.filter.query}&since=${this.#lastId ?? this.#startedIso}`;
    this.#droppedSinceId = 0;
    try {
      const socket = await connectRawWebSocket(app?.url ?? "", query, (text) => this.#take(JSON.parse(text)));
      this.connects++;
      return socket;
    } catch {
      await Bun.sleep(200);
      return undefined;
    }
  }

  async #leave(socket: RawClient): Promise<void> {
    socket.terminate();
    await socket.closed;
  }

  #take(frame: { event: string; id?: string; data: Record<string, unknown> }): void {
    if (frame.event === "dropped") this.#droppedSinceId += Number(frame.data.count);
    else if (frame.event === "incomplete") this.incomplete++;
    else if (frame.event === "error-log") {
      const id = String(frame.data.event_id);
      if (this.received.has(id)) this.repeats++;
      this.received.add(id);
      this.#lastId = frame.id;
      this.dropped += this.#droppedSinceId;
      this.#droppedSinceId = 0;
    }
  }
}
