import { logTail } from "@timespan/local-stack/shrink-log";
import { StackError } from "@timespan/local-stack/stack-error";
import { type Clock, systemClock } from "@timespan/runtime/clock";

/** A consumer group waits up to half a minute for a member that was killed before it gives its partitions away. */
const READY_TIMEOUT_MS = 90_000;
const POLL_INTERVAL_MS = 150;
const ANSWER_TIMEOUT_MS = 2_000;
/** Who ends this often before it was ever ready has a reason that waiting does not mend. */
const EXITS_MAX = 3;
const TAIL_LINES = 15;

export interface Awaited {
  name: string;
  /** Answers 200 when ready, 503 otherwise; 401 where it asks for a key. */
  readyUrl: string;
  logFile: string;
  exitCount(): number;
}

export interface WaitOptions {
  progress(line: string): void;
  signal: AbortSignal;
  timeoutMs?: number;
  clock?: Clock;
}

/**
 * Waits until every app says that it is ready, or until `signal` aborts.
 * @throws {StackError} naming the first that does not get there, with its last answer and the end of its log
 */
export async function waitUntilReady(apps: readonly Awaited[], options: WaitOptions): Promise<void> {
  const { progress, signal, timeoutMs = READY_TIMEOUT_MS, clock = systemClock } = options;
  const deadlineMs = clock.nowMs() + timeoutMs;
  const waiting = new Map(apps.map((app) => [app, "no answer yet"]));
  while (waiting.size > 0 && !signal.aborted) {
    progress(`Waiting for ${[...waiting.keys()].map(({ name }) => name).join(", ")}`);
    const answers = await Promise.all(
      [...waiting.keys()].map(async (app) => ({ app, answer: await askReady(app.readyUrl) })),
    );
    for (const { app, answer } of answers) {
      if (answer === "ready") waiting.delete(app);
      else waiting.set(app, answer);
    }
    for (const [app, answer] of waiting) {
      if (app.exitCount() >= EXITS_MAX) throw notReady(app, `ended ${EXITS_MAX} times while starting`);
      if (clock.nowMs() > deadlineMs) {
        throw notReady(app, `did not get ready within ${timeoutMs / 1_000} s (${answer})`);
      }
    }
    if (waiting.size > 0) await clock.sleep(POLL_INTERVAL_MS, signal);
  }
}

async function askReady(url: string): Promise<string> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS) });
    const body = await response.text();
    // Who asks for a key answers; and only one that has the key may know more.
    if (response.status === 401) return "ready";
    return response.ok ? "ready" : `its last answer: ${response.status} ${body.trim().slice(0, 300)}`;
  } catch (error) {
    return `no answer: ${error instanceof Error ? error.message : String(error)}`;
  }
}

function notReady({ name, logFile }: Awaited, problem: string): StackError {
  const tail = logTail(logFile, TAIL_LINES);
  return new StackError(`${name} ${problem}. The end of its log:\n${tail || "(empty)"}`, `See ${logFile}.`);
}
