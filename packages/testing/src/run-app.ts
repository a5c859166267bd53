import { resolve } from "node:path";
import { systemClock } from "@timespan/runtime/clock";

const REPOSITORY = resolve(import.meta.dir, "../../..");
const READY_TIMEOUT_MS = 30_000;

export interface RunningApp {
  readonly pid: number;
  readonly url: string;
  /** What it printed so far, standard output and error together. */
  output(): string;
  kill(signal: NodeJS.Signals): void;
  /** Its exit code, or null where a signal ended it. */
  readonly exited: Promise<number | null>;
  /** SIGTERM, and waits for the end. */
  stop(): Promise<void>;
}

export interface RunOptions {
  awaitReady?: boolean;
  command?: readonly string[];
  port?: number;
}

/**
 * Starts an app of the product as a process of its own, on a free port, and waits until it is ready.
 * @param portVariable the app's variable for its port
 * @param options `awaitReady: false` returns at once, for a process that starts while its servers are away; `command`
 *   runs another build of the app, `port` is used where it must be a certain one
 * @throws {Error} with what it printed, where it ends or is not ready in time
 */
export async function runApp(
  name: "stream-processor" | "query-api" | "error-stream",
  portVariable: string,
  env: Record<string, string>,
  { awaitReady = true, command, port = freePort() }: RunOptions = {},
): Promise<RunningApp> {
  const child = Bun.spawn(
    [...(command ?? [process.execPath, resolve(REPOSITORY, `apps/${name}/src/main.ts`)])],
    {
      // Only what is given: a variable of the machine must not steer a test.
      env: {
        PATH: process.env.PATH,
        HOME: process.env.HOME,
        LOG_LEVEL: "debug",
        ...env,
        [portVariable]: String(port),
      },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    },
  );
  let output = "";
  const collect = async (stream: ReadableStream<Uint8Array>) => {
    const decoder = new TextDecoder();
    for await (const chunk of stream) output += decoder.decode(chunk, { stream: true });
  };
  void collect(child.stdout);
  void collect(child.stderr);
  const app: RunningApp = {
    pid: child.pid,
    url: `http://127.0.0.1:${port}`,
    output: () => output,
    kill: (signal) => child.kill(signal),
    exited: child.exited.then(() => child.exitCode),
    async stop() {
      child.kill("SIGTERM");
      await child.exited;
    },
  };
  if (!awaitReady) return app;
  try {
    await eventually(
      async () => {
        if (child.exitCode !== null || child.signalCode !== null) throw new Error(`${name} ended`);
        const response = await fetch(`${app.url}/ready`).catch(() => undefined);
        return response?.status === 200;
      },
      { timeoutMs: READY_TIMEOUT_MS, what: `${name} to be ready` },
    );
  } catch (error) {
    child.kill("SIGKILL");
    throw new Error(`${error instanceof Error ? error.message : error}\n${output}`);
  }
  return app;
}

function freePort(): number {
  const probe = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response() });
  const { port } = probe;
  void probe.stop(true);
  if (port === undefined) throw new Error("no free port");
  return port;
}

/**
 * Waits until `condition` holds.
 * @throws {Error} naming `what` was waited for, after `timeoutMs`
 */
export async function eventually(
  condition: () => Promise<boolean> | boolean,
  { timeoutMs = 15_000, what }: { timeoutMs?: number; what: string },
): Promise<void> {
  const deadline = systemClock.nowMs() + timeoutMs;
  while (!(await condition())) {
    if (systemClock.nowMs() > deadline) throw new Error(`waited ${timeoutMs} ms in vain for ${what}`);
    await systemClock.sleep(50);
  }
}
