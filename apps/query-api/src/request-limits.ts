import type { Clock } from "@timespan/runtime/clock";
import { cancellable } from "@timespan/store/cancellable";
import type { Database } from "@timespan/store/database";
import type { MiddlewareHandler } from "hono";
import type { ApiEnv } from "./api-env.ts";
import { problemOfError, RequestEnded, unavailable } from "./problem.ts";

/** Queries that may run or wait for a connection at once; more would only wait longer. */
export const QUERIES_IN_FLIGHT_MAX = 200;

/**
 * The share of the time of one statement that a request may take, waiting for a connection included; the first pattern
 * that fits the path counts. A trace is a few rows by an index, and metrics come from rollups: only lists may have to
 * look through raw rows.
 */
const DEADLINE_SHARES: readonly [path: RegExp, share: number][] = [
  [/^\/query\/traces\//, 1 / 3],
  [/^\/query\/(service-map|services|services\/[^/]+\/(metrics|endpoints))$/, 2 / 3],
];
/** What any other may take beyond one whole statement: waiting for a connection, and a second statement. */
const DEADLINE_MARGIN_MS = 5_000;

export interface RequestLimits {
  database: Database;
  clock: Clock;
  /** The limit of one statement, as the database enforces it, in milliseconds. */
  statementTimeoutMs: number;
  onTurnedAway(reason: "in_flight" | "deadline"): void;
}

/**
 * Bounds how many queries are under way and how long each may take, and ends the statements of those whose client is
 * gone or whose time is over: nobody waits for their rows.
 */
export function limitRequests({
  database,
  clock,
  statementTimeoutMs,
  onTurnedAway,
}: RequestLimits): MiddlewareHandler<ApiEnv> {
  let inFlight = 0;
  return async (c, next) => {
    if (inFlight >= QUERIES_IN_FLIGHT_MAX) {
      onTurnedAway("in_flight");
      return unavailable("too_many_requests_in_flight");
    }
    const ended = new AbortController();
    const answered = new AbortController();
    const client = c.req.raw.signal;
    const onGone = () => ended.abort(new RequestEnded("client_gone"));
    client.addEventListener("abort", onGone, { once: true });
    if (client.aborted) onGone();
    void clock.sleep(deadlineMs(c.req.path, statementTimeoutMs), answered.signal).then(() => {
      if (!answered.signal.aborted) ended.abort(new RequestEnded("deadline"));
    });
    c.set("signal", ended.signal);
    c.set("database", cancellable(database, ended.signal));
    inFlight++;
    const work = next().finally(() => {
      inFlight--;
    });
    // Not only by the error of the statement: a server that does not even cancel must not keep the client waiting.
    await Promise.race([work, aborted(ended.signal)]);
    answered.abort();
    client.removeEventListener("abort", onGone);
    if (!ended.signal.aborted) return;
    const why: RequestEnded = ended.signal.reason;
    if (why.reason === "deadline") onTurnedAway("deadline");
    c.res = problemOfError(why);
  };
}

/** How long the request of this path may take, in milliseconds. */
export function deadlineMs(path: string, statementTimeoutMs: number): number {
  const found = DEADLINE_SHARES.find(([pattern]) => pattern.test(path));
  return found === undefined
    ? statementTimeoutMs + DEADLINE_MARGIN_MS
    : Math.ceil(statementTimeoutMs * found[1]);
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
