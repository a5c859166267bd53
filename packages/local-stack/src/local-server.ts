import { type Clock, systemClock } from "@timespan/runtime/clock";
import { logTail } from "./shrink-log.ts";
import { StackError, StackStartAborted } from "./stack-error.ts";
import type { ProcessExit, RunningProcess } from "./start-process.ts";

export type ServerName = "postgres" | "kafka" | "redis";

/** One server of the stack: found (given, or in Docker) or started by us. */
export interface Server {
  readonly name: ServerName;
  /** One plain line: what was chosen, and why. */
  readonly choice: string;
  /** Undefined for a server that is not our child process, and while stopped. */
  readonly pid: number | undefined;
  /** Resolves when our process ends, wanted or not; never for a server that is not ours. */
  exited(): Promise<ProcessExit>;
  /** Starts our process again after {@link stop} or a crash, with the same data and port; ready when it resolves. */
  start(signal?: AbortSignal): Promise<void>;
  /** Stops our process cleanly; does nothing for a server that is not ours. */
  stop(): Promise<void>;
  /** Ends our process by force and returns at once. */
  kill(): void;
}

const POLL_INTERVAL_MS = 100;
const TAIL_LINES = 15;

export interface LocalServerParts {
  name: ServerName;
  choice: string;
  logFile: string;
  readyTimeoutMs: number;
  launch(signal: AbortSignal | undefined): Promise<RunningProcess>;
  /** Rejects as long as the server does not answer. */
  ping(): Promise<unknown>;
  /** What a person should know when the server ends while starting, read from its log. */
  explain(log: string): StackError | undefined;
}

/** A server that runs as our child process. */
export class LocalServer implements Server {
  readonly name: ServerName;
  readonly choice: string;
  readonly #parts: LocalServerParts;
  readonly #clock: Clock;
  #process: RunningProcess | undefined;

  constructor(parts: LocalServerParts, clock: Clock = systemClock) {
    this.name = parts.name;
    this.choice = parts.choice;
    this.#parts = parts;
    this.#clock = clock;
  }

  get pid(): number | undefined {
    return this.#process?.pid;
  }

  exited(): Promise<ProcessExit> {
    return this.#process?.exited ?? Promise.resolve({ code: null, signal: null });
  }

  /**
   * @throws {StackError} when the server ends while starting or does not answer in time; it is stopped then
   * @throws {StackStartAborted} when `signal` aborts; it is stopped then
   */
  async start(signal?: AbortSignal): Promise<void> {
    if (this.#process !== undefined) return;
    const running = await this.#parts.launch(signal);
    this.#process = running;
    void running.exited.then(() => {
      if (this.#process === running) this.#process = undefined;
    });
    try {
      await this.#waitUntilReady(running, signal);
    } catch (error) {
      await running.stop();
      throw error;
    }
  }

  async stop(): Promise<void> {
    await this.#process?.stop();
  }

  kill(): void {
    this.#process?.kill();
  }

  async #waitUntilReady(running: RunningProcess, signal: AbortSignal | undefined): Promise<void> {
    const { name, logFile, readyTimeoutMs, ping, explain } = this.#parts;
    const deadlineMs = this.#clock.nowMs() + readyTimeoutMs;
    const ended = running.exited.then(() => "ended" as const);
    const calledOff = new Promise<"called off">((resolve) => {
      signal?.addEventListener("abort", () => resolve("called off"), { once: true });
    });
    for (;;) {
      const outcome = await Promise.race([
        ended,
        calledOff,
        ping().then(
          () => "ready" as const,
          () => this.#clock.sleep(POLL_INTERVAL_MS, signal).then(() => "waiting" as const),
        ),
      ]);
      if (signal?.aborted) throw new StackStartAborted();
      if (outcome === "ready") return;
      const log = logTail(logFile, TAIL_LINES, running.logOffset);
      if (outcome === "ended") {
        throw (
          explain(log) ??
          new StackError(`${name} ended while starting. The end of its log:\n${log}`, `See ${logFile}.`)
        );
      }
      if (this.#clock.nowMs() > deadlineMs) {
        throw new StackError(
          `${name} did not answer within ${readyTimeoutMs / 1_000} s. The end of its log:\n${log}`,
          `See ${logFile}.`,
        );
      }
    }
  }
}

/** A server somebody else runs: there is nothing to start or stop. */
export function foreignServer(name: ServerName, choice: string): Server {
  return {
    name,
    choice,
    pid: undefined,
    exited: () => new Promise(() => {}),
    start: async () => {},
    stop: async () => {},
    kill: () => {},
  };
}
