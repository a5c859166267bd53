import { type Backoff, createBackoff } from "@timespan/runtime/backoff";
import { type Clock, systemClock } from "@timespan/runtime/clock";

/** How a part's end is told: an exit code, or the signal that ended it. */
export interface PartExit {
  code: number | null;
  signal: string | null;
}

/** Something that runs, ends when it should not, and can be started again: an app, or a server of the stack. */
export interface Part {
  readonly name: string;
  /** Starts it (again). A rejection counts as an end: it is tried again later. `signal` calls the start off. */
  start(signal: AbortSignal): Promise<void>;
  /** Resolves when the part that was started last has ended. */
  exited(): Promise<PartExit>;
  stop(): Promise<void>;
}

/** Where a supervised part is in its life. */
export type PartState = "starting" | "running" | "waiting" | "stopping" | "stopped";

const NEXT_STATES: Record<PartState, readonly PartState[]> = {
  starting: ["running", "waiting", "stopping"],
  running: ["waiting", "stopping"],
  waiting: ["starting", "stopping"],
  stopping: ["stopped"],
  stopped: [],
};

/** The first restart comes soon, later ones ever more slowly; it never gives up, because the cause may pass. */
const RESTART_DELAY_MS = { initialMs: 250, maxMs: 30_000 };
/** Who ran this long was healthy: the next end counts as the first. */
const HEALTHY_AFTER_MS = 30_000;

export interface Supervised {
  readonly name: string;
  readonly state: PartState;
  /** How often it ended, or failed to start, since supervision began. */
  readonly exitCount: number;
  /** No more restarts; stops the part and waits for it. */
  stop(): Promise<void>;
}

export interface SuperviseOptions {
  /** True when the part runs already and need not be started first. */
  running?: boolean;
  /** Takes one line for every unwanted end. */
  report(line: string): void;
  backoff?: Backoff;
  clock?: Clock;
}

/** Keeps a part running: starts it, and starts it again with growing delays whenever it ends. */
export function supervise(part: Part, options: SuperviseOptions): Supervised {
  const { report, backoff = createBackoff(RESTART_DELAY_MS), clock = systemClock } = options;
  const stopRequested = new AbortController();
  const { signal } = stopRequested;
  const stopWanted = new Promise<"stop">((resolve) => {
    signal.addEventListener("abort", () => resolve("stop"), { once: true });
  });
  let state: PartState = options.running ? "running" : "starting";
  let exitCount = 0;

  const enter = (next: PartState) => {
    if (!NEXT_STATES[state].includes(next)) {
      throw new Error(`${part.name} cannot go from ${state} to ${next}`);
    }
    state = next;
  };

  /** Starts if need be, and tells how it ended; "stop" when that was asked for meanwhile. */
  const runOnce = async (): Promise<string> => {
    if (state === "starting") {
      try {
        await part.start(signal);
      } catch (error) {
        return signal.aborted ? "stop" : `did not start (${firstLine(error)})`;
      }
      if (signal.aborted) return "stop";
      enter("running");
    }
    const outcome = await Promise.race([part.exited(), stopWanted]);
    return outcome === "stop" || signal.aborted ? "stop" : `ended (${describe(outcome)})`;
  };

  const keepRunning = async () => {
    while (!signal.aborted) {
      const startedMs = clock.nowMs();
      const outcome = await runOnce();
      if (outcome === "stop") break;
      exitCount += 1;
      if (clock.nowMs() - startedMs >= HEALTHY_AFTER_MS) backoff.reset();
      const delayMs = backoff.nextMs();
      report(`${part.name} ${outcome}; starting it again in ${(delayMs / 1_000).toFixed(1)} s.`);
      enter("waiting");
      await clock.sleep(delayMs, signal);
      if (!signal.aborted) enter("starting");
    }
    enter("stopping");
    await part.stop();
    enter("stopped");
  };

  const finished = keepRunning();
  return {
    name: part.name,
    get state() {
      return state;
    },
    get exitCount() {
      return exitCount;
    },
    stop() {
      stopRequested.abort();
      return finished;
    },
  };
}

function describe({ code, signal }: PartExit): string {
  return signal === null ? `exit code ${code}` : `signal ${signal}`;
}

function firstLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split("\n")[0] ?? "";
}
