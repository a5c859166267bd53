/**
 * `bun run bench:fanout [--quick]`: from Kafka record to client socket, on both engines, beside what the engine alone
 * can do. Everything is measured in one run on one machine; quote the ratios, not the rates.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { cpus, tmpdir, totalmem } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { connectKafka } from "@timespan/broker/connect-kafka";
import { ensureTopics } from "@timespan/broker/ensure-topics";
import { createProducer } from "@timespan/broker/producer";
import { autoPorts, startStack } from "@timespan/local-stack/start-stack";
import { systemClock } from "@timespan/runtime/clock";
import { createLogger } from "@timespan/runtime/logger";
import { eventually } from "@timespan/testing/run-app";
import type { Subprocess } from "bun";
import { type Engine, engines } from "../apps/error-stream/tests/engines.ts";
import type { ClientReport } from "./fanout-clients.ts";
import { cpuSeconds } from "./process-cost.ts";

const { values } = parseArgs({ options: { quick: { type: "boolean", default: false } } });
const PATH = "/ws/error-logs";
/** Events of a run for throughput, and deliveries that the ceiling makes. */
const THROUGHPUT_EVENTS = values.quick ? 2_000 : 10_000;
/** Before them, so that neither the hub nor the ceiling is measured while its code is still being compiled. */
const WARM_UP_EVENTS = THROUGHPUT_EVENTS / 2;
const STEADY_SECONDS = values.quick ? 4 : 15;
const STEADY_DELIVERIES_PER_SECOND = 10_000;
const IDLE_CLIENTS = values.quick ? 2_000 : 10_000;
const IDLE_PROCESSES = 2;
/** What clients that do not read must have behind them before the others are measured. */
const FILL_BYTES = 12_000_000;
const MESSAGE_CHARACTERS = 120;
/** Clients that do not read, where there are any. */
const SLOW_SHARE = 0.05;
const SERVICES = 50;

const workDir = mkdtempSync(join(tmpdir(), "timespan-fanout-"));
const logger = createLogger("bench", "error");
/** Ended in any case: a benchmark that failed must leave nothing behind that disturbs the next. */
const children = new Set<{ kill(signal: "SIGKILL"): void }>();
console.log(
  `${cpus().length} cores, ${Math.round(totalmem() / 2 ** 30)} GiB, Bun ${Bun.version}; clients, server and Kafka on the same machine`,
);
const stack = await startStack({
  home: workDir,
  environment: process.env,
  ports: autoPorts,
  docker: "never",
  database: "embedded",
  report: () => {},
});
try {
  for (const engine of engines) if (engine.missing === undefined) await benchEngine(engine);
} finally {
  for (const child of children) child.kill("SIGKILL");
  await stack.stop();
  rmSync(workDir, { recursive: true, force: true });
}

async function benchEngine(engine: Engine): Promise<void> {
  console.log(`\n## ${engine.name}`);
  // With one client nearly all of the cost is that of taking events in: what a ceiling without a hub does not have.
  await measure("1 client, no filter", engine, { clients: 1 });
  const frame = await measure("200 clients, no filter", engine, { clients: 200 });
  const ceiling = await measureCeiling(engine.name, frame.frameBytes);
  console.log(
    `hub / ceiling: ${(frame.perCpuSecond / ceiling.perCpuSecond).toFixed(2)} by CPU, ${(frame.perSecond / ceiling.perSecond).toFixed(2)} by time`,
  );
  await measure(`1,000 clients, ${SERVICES} filters`, engine, { clients: 1_000, filters: SERVICES });
  await measureDelays(engine, { clients: 200, filters: 0 });
  await measureDelays(engine, { clients: 1_000, filters: SERVICES });
  await measureIdle(engine);
}

interface Throughput {
  perSecond: number;
  perCpuSecond: number;
  frameBytes: number;
}

/** As many events as there are at once: how fast they are delivered, and at what cost. */
async function measure(
  name: string,
  engine: Engine,
  { clients, filters = 0 }: { clients: number; filters?: number },
): Promise<Throughput> {
  const server = await serve(engine, { buffers: "endless" });
  const listeners = await startClients(`${server.app.url}${PATH}`, clients, { filters });
  const deliveries = (events: number) => (events * clients) / Math.max(1, filters);
  const arrived = (count: number) =>
    eventually(async () => (await listeners.report()).frames >= count, {
      timeoutMs: 300_000,
      what: `${count} deliveries`,
    });
  await server.send(WARM_UP_EVENTS, { measured: false });
  await arrived(deliveries(WARM_UP_EVENTS));
  await listeners.reset();
  const expected = deliveries(THROUGHPUT_EVENTS);
  const cpuBefore = cpuSeconds(server.app.pid) ?? 0;
  const startedMs = performance.now();
  const sending = server.send(THROUGHPUT_EVENTS, { measured: false });
  await arrived(expected);
  const seconds = (performance.now() - startedMs) / 1_000;
  await sending;
  const cpu = (cpuSeconds(server.app.pid) ?? 0) - cpuBefore;
  const result = {
    perSecond: expected / seconds,
    perCpuSecond: expected / cpu,
    frameBytes: await server.frameBytes(),
  };
  console.log(
    `${name}: ${expected.toLocaleString("en")} deliveries in ${seconds.toFixed(1)} s: ${rate(result.perSecond)}, ${rate(result.perCpuSecond)} of the server's CPU; frames of ${result.frameBytes} bytes`,
  );
  await listeners.stop();
  await server.stop();
  return result;
}

async function measureCeiling(
  name: string,
  frameBytes: number,
): Promise<{ perSecond: number; perCpuSecond: number }> {
  const CLIENTS = 200;
  const port = freePort();
  const runtime = name === "Bun" ? process.execPath : (Bun.which("node") ?? "node");
  const child = Bun.spawn(
    [runtime, join(import.meta.dir, "fanout-ceiling.mjs"), String(port), String(frameBytes)],
    {
      stdio: ["ignore", "inherit", "inherit"],
    },
  );
  children.add(child);
  const url = `http://127.0.0.1:${port}`;
  await eventually(
    async () => (await fetch(`${url}/publish?frames=0`).catch(() => undefined)) !== undefined,
    {
      what: "the ceiling",
    },
  );
  const listeners = await startClients(`${url}/`, CLIENTS, {});
  const publish = async (frames: number) => {
    await fetch(`${url}/publish?frames=${frames}`);
    await eventually(async () => (await listeners.report()).frames >= frames * CLIENTS, {
      timeoutMs: 300_000,
      what: `${frames * CLIENTS} deliveries`,
    });
  };
  await publish(WARM_UP_EVENTS);
  await listeners.reset();
  const expected = THROUGHPUT_EVENTS * CLIENTS;
  const cpuBefore = cpuSeconds(child.pid) ?? 0;
  const startedMs = performance.now();
  await publish(THROUGHPUT_EVENTS);
  const seconds = (performance.now() - startedMs) / 1_000;
  const cpu = (cpuSeconds(child.pid) ?? 0) - cpuBefore;
  console.log(
    `ceiling, 200 clients: ${rate(expected / seconds)}, ${rate(expected / cpu)} of the server's CPU; the engine alone, a constant frame`,
  );
  await listeners.stop();
  child.kill();
  return { perSecond: expected / seconds, perCpuSecond: expected / cpu };
}

interface Audience {
  clients: number;
  /** Each for as many clients; 0 where all of them get everything. */
  filters: number;
}

/** Delay at a steady rate, of the clients that read: where all do, and beside some that do not. */
async function measureDelays(engine: Engine, audience: Audience): Promise<void> {
  const alone = await measureDelay(engine, audience, 0);
  const beside = await measureDelay(engine, audience, audience.clients * SLOW_SHARE);
  console.log(`p99 of the others with and without slow clients: ${(beside / alone).toFixed(2)}`);
}

/** @returns p99 in milliseconds */
async function measureDelay(
  engine: Engine,
  { clients, filters }: Audience,
  stalled: number,
): Promise<number> {
  const groups = Math.max(1, filters);
  const groupSize = clients / groups;
  const server = await serve(engine, { buffers: "default" });
  const listeners = await startClients(`${server.app.url}${PATH}`, clients, { stalled, filters });
  const arrived = (count: number, what: string) =>
    eventually(
      async () => {
        const { frames, dropped } = await listeners.report();
        return frames + dropped >= count;
      },
      { timeoutMs: 60_000, what },
    );
  // Fills what kernels hold for a socket that is not read, and a client's place in the hub: from then on it drops.
  // Those who do not read are the first, so that only their filters need it; the same is sent where all read.
  const fillGroups = Math.ceil((clients * SLOW_SHARE) / groupSize);
  const fillEvents = Math.ceil(FILL_BYTES / 1_500);
  await server.send(fillEvents * fillGroups, {
    measured: false,
    perSecond: 2_000,
    characters: 1_200,
    services: fillGroups,
  });
  await arrived(fillEvents * (fillGroups * groupSize - stalled), "the clients to be filled");
  await listeners.reset();
  const perSecond = STEADY_DELIVERIES_PER_SECOND / groupSize;
  const events = perSecond * STEADY_SECONDS;
  await server.send(events, { measured: true, perSecond });
  await arrived((events / groups) * (clients - stalled), "the measured deliveries");
  const { delayMs } = await listeners.report();
  const metrics = await (await fetch(`${server.app.url}/metrics`)).text();
  const drops = Number(/drops_total\S* (\d+)/.exec(metrics)?.[1] ?? 0);
  console.log(
    `${clients.toLocaleString("en")} clients, ${filters === 0 ? "no" : filters} filters, ${stalled} do not read, ${STEADY_DELIVERIES_PER_SECOND.toLocaleString("en")} deliveries/s: record to socket p50 ${delayMs?.p50.toFixed(1)} ms, p99 ${delayMs?.p99.toFixed(1)} ms; ${drops.toLocaleString("en")} events dropped for slow clients`,
  );
  await listeners.stop();
  await server.stop();
  return delayMs?.p99 ?? Number.NaN;
}

async function measureIdle(engine: Engine): Promise<void> {
  const server = await serve(engine, { buffers: "default" });
  const before = residentKb(server.app.pid);
  const listeners = await Promise.all(
    Array.from({ length: IDLE_PROCESSES }, () =>
      startClients(`${server.app.url}${PATH}`, IDLE_CLIENTS / IDLE_PROCESSES, {}),
    ),
  );
  await systemClock.sleep(2_000);
  const perClient = (residentKb(server.app.pid) - before) / IDLE_CLIENTS;
  console.log(`${IDLE_CLIENTS.toLocaleString("en")} idle clients: ${perClient.toFixed(1)} kB each`);
  await Promise.all(listeners.map((each) => each.stop()));
  await server.stop();
}

async function serve(engine: Engine, { buffers }: { buffers: "default" | "endless" }) {
  const topic = `errors-${crypto.randomUUID()}`;
  const kafka = connectKafka({ brokers: [...stack.kafkaBrokers], clientId: "bench" }, logger);
  await ensureTopics(kafka, [topic], 1);
  const producer = await createProducer(kafka);
  const app = await engine.run({
    KAFKA_BROKERS: stack.kafkaBrokers.join(","),
    KAFKA_APM_LOG_ERROR_TOPIC: topic,
    LOG_LEVEL: "warn",
    ERROR_STREAM_CLIENTS_MAX: "20000",
    ERROR_STREAM_CLIENTS_PER_ADDRESS_MAX: "20000",
    // Who does not read stays, and costs what it costs.
    ERROR_STREAM_SLOW_CLIENT_MS: "600000",
    // For throughput nothing may be dropped, however far ahead of the clients Kafka is.
    ...(buffers === "endless"
      ? { ERROR_STREAM_CLIENT_BUFFER_KB: "1000000", ERROR_STREAM_CLIENT_BUFFER_EVENTS: "10000000" }
      : {}),
  });
  children.add(app);
  let offset = 0;
  const event = (measured: boolean, characters: number, services: number) => {
    const number = offset++;
    return JSON.stringify({
      type: "log",
      event_id: `1-${number}-0`,
      timestamp: new Date().toISOString(),
      service_name: `service-${number % services}`,
      environment: "production",
      level: "ERROR",
      message: "x".repeat(characters),
      trace_id: "0af7651916cd43dd8448eb211c80319c",
      span_id: "b7ad6b7169203331",
      labels: {
        "host.name": "host-1",
        version: "1.8.2",
        ...(measured ? { sent_at: performance.timeOrigin + performance.now() } : {}),
      },
    });
  };
  return {
    app,
    /** Produces `count` events, at once or at a steady rate. */
    async send(
      count: number,
      {
        measured,
        perSecond,
        characters = MESSAGE_CHARACTERS,
        services = SERVICES,
      }: { measured: boolean; perSecond?: number; characters?: number; services?: number },
    ): Promise<void> {
      const startedMs = performance.now();
      for (let sent = 0; sent < count; ) {
        const due =
          perSecond === undefined ? sent + 500 : ((performance.now() - startedMs) / 1_000) * perSecond;
        const until = Math.min(count, Math.floor(due));
        if (until === sent) {
          await systemClock.sleep(5);
          continue;
        }
        const records = Array.from({ length: until - sent }, () => ({
          key: "1",
          value: event(measured, characters, services),
        }));
        sent = until;
        await producer.send(topic, records);
      }
    },
    /** Length of a frame as it goes over the wire, without its header. */
    async frameBytes(): Promise<number> {
      const socket = new WebSocket(`${app.url.replace("http", "ws")}${PATH}?last=1`);
      const text = await new Promise<string>((resolve) => {
        socket.onmessage = ({ data }) => resolve(String(data));
      });
      socket.close();
      return Buffer.byteLength(text);
    },
    async stop(): Promise<void> {
      await producer.disconnect();
      await app.stop();
    },
  };
}

async function startClients(
  url: string,
  count: number,
  { stalled = 0, filters = 0 }: { stalled?: number; filters?: number },
) {
  const answers: ((message: unknown) => void)[] = [];
  const connected = Promise.withResolvers<void>();
  const child: Subprocess = Bun.spawn(
    [
      process.execPath,
      join(import.meta.dir, "fanout-clients.ts"),
      url,
      String(count),
      String(stalled),
      String(filters),
    ],
    {
      stdio: ["ignore", "inherit", "inherit"],
      ipc(message) {
        if (message === "connected") connected.resolve();
        else answers.shift()?.(message);
      },
      onExit: () => connected.reject(new Error("the clients ended")),
    },
  );
  children.add(child);
  await connected.promise;
  const ask = (question: string) =>
    new Promise<unknown>((resolve) => {
      answers.push(resolve);
      child.send(question);
    });
  return {
    report: async () => (await ask("report")) as ClientReport,
    reset: () => ask("reset"),
    async stop(): Promise<void> {
      child.kill();
      await child.exited;
    },
  };
}

function residentKb(pid: number): number {
  return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
}

function freePort(): number {
  const probe = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response() });
  const { port } = probe;
  void probe.stop(true);
  return port ?? 0;
}

function rate(perSecond: number): string {
  return `${Math.round(perSecond).toLocaleString("en")}/s`;
}
