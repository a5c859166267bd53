import { type AnswerCache, cacheKey } from "@timespan/cache/answer-cache";
import type { Clock } from "@timespan/runtime/clock";
import { cancellable } from "@timespan/store/cancellable";
import type { Database } from "@timespan/store/database";
import type { RollupOptions, Window } from "@timespan/store/query/request-segments";
import type { Access } from "@timespan/telemetry/access";
import { ALL_ENVIRONMENTS } from "@timespan/telemetry/api/request-figures";
import { environmentName } from "@timespan/telemetry/environment-name";
import { resolveTimeRange } from "@timespan/telemetry/time-range";
import { formatTimestamp, type TimeUs } from "@timespan/telemetry/timestamp";
import type { Context, Handler } from "hono";
import type { z } from "zod";
import type { ApiEnv } from "./api-env.ts";
import { cachedResponse } from "./cached-response.ts";
import type { Operation } from "./operation.ts";
import { readParameters, text, time } from "./parameters.ts";
import { invalidParameters, type ParameterProblem } from "./problem.ts";

export interface MetricSettings {
  /** Times that depend on now are taken from a clock that moves in steps of this length, so that questions repeat. */
  quantizationMs: number;
  /** Of a window that was not given. */
  defaultWindowMs: number;
  rollups: RollupOptions;
  /** How long answers are kept, and under which keys: those to windows that rollups may hold, and all others. */
  kept: { rollups: Kept; others: Kept };
}

export interface Kept {
  prefix: string;
  ttlMs: number;
}

/** What every route of metrics works with. */
export interface MetricContext {
  database: Database;
  cache: AnswerCache;
  settings: MetricSettings;
  clock: Clock;
}

/** The parameters that every route of metrics takes. */
export const metricParameters = {
  from: time("Start of the window, included."),
  to: time("End of the window, not included."),
  environment: text()
    // As answers name it.
    .transform((name) => (name === ALL_ENVIRONMENTS ? undefined : environmentName(name)))
    .optional()
    .describe("prod, dev and stage are spelled out; all, or none, takes all together."),
};

export type MetricSchema = z.ZodObject<typeof metricParameters>;

/** A route whose answer follows from its question and what the caller may see, and can be kept for a while. */
export interface MetricRoute<S extends MetricSchema, Question extends object, Answer extends object> {
  /** Distinguishes its questions from those of other routes. */
  name: string;
  operation: Operation<S>;
  /** In place of the settings' own. */
  defaultWindowMs?: number;
  /** What is asked, in plain values: no time depends on now any more. Or what is wrong between parameters. */
  ask(given: { values: z.output<S>; path: Record<string, string>; window: Window }): Asked<Question>;
  answer(question: Question, asker: Asker): Promise<Answer>;
}

/** For whom a question is answered, and by what. */
export interface Asker {
  database: Database;
  access: Access;
}

export type Asked<Question> = { ok: true; question: Question } | { ok: false; problems: ParameterProblem[] };

/**
 * Reads parameters, then answers, from the cache where it can: all that an answer depends on is the question, and what
 * the caller may see.
 */
export function metricRoute<S extends MetricSchema, Question extends object, Answer extends object>(
  route: MetricRoute<S, Question, Answer>,
  { database, cache, settings, clock }: MetricContext,
): Handler<ApiEnv> {
  return async (c) => {
    const asked = readQuestion(route, settings, c, clock.nowMs());
    if (!asked.ok) return invalidParameters(asked.problems);
    const { question, window } = asked;
    const facts = c.get("facts");
    const access = inOrder(c.get("access"));
    const { prefix, ttlMs } = keptFor(window, settings);
    const answer = await cache.answer({
      key: cacheKey(prefix, route.name, [question, access]),
      ttlMs,
      signal: c.get("signal"),
      async load(signal) {
        const loaded = await route.answer(question, { database: cancellable(database, signal), access });
        facts.source = sourceOf(loaded);
        return JSON.stringify(loaded);
      },
    });
    facts.cache = answer.outcome;
    return cachedResponse(c, answer, settings.quantizationMs, clock);
  };
}

function keptFor({ fromUs, toUs }: Window, { rollups, kept }: MetricSettings): Kept {
  return rollups.enabled && toUs - fromUs > rollups.thresholdMs * 1_000 ? kept.rollups : kept.others;
}

/** Two keys that may see the same share answers, in whatever order they name it. */
function inOrder({ environments, services }: Access): Access {
  return { environments: environments?.toSorted() ?? null, services: services?.toSorted() ?? null };
}

/** Where an answer came from, as it says itself; of several series, the first speaks for all. */
function sourceOf(answer: object): string | undefined {
  const said: unknown = Array.isArray(answer) ? answer[0] : answer;
  const isSaid = typeof said === "object" && said !== null && "source" in said;
  return isSaid && typeof said.source === "string" ? said.source : undefined;
}

function readQuestion<S extends MetricSchema, Question extends object, Answer extends object>(
  route: MetricRoute<S, Question, Answer>,
  settings: MetricSettings,
  c: Context<ApiEnv>,
  nowMs: number,
): { ok: true; question: Question; window: Window } | { ok: false; problems: ParameterProblem[] } {
  const { path, problems: pathProblems } = readPath(c, route.operation);
  const { values, problems } = readParameters(new URL(c.req.url).searchParams, route.operation.parameters, {
    labels: false,
  });
  problems.unshift(...pathProblems);
  const resolved = resolveTimeRange(
    values as Partial<z.output<MetricSchema>>,
    nowMs - (nowMs % settings.quantizationMs),
    route.defaultWindowMs ?? settings.defaultWindowMs,
  );
  if (!resolved.ok) problems.push(...resolved.problems);
  if (problems.length > 0 || !resolved.ok) return { ok: false, problems };
  // Complete, as there was no problem; closed, as there is a default.
  const window = resolved.range as Window;
  const asked = route.ask({ values: values as z.output<S>, path, window });
  return asked.ok ? { ...asked, window } : asked;
}

/** The parameters in the path, without their percent encoding. */
export function readPath(
  c: Context,
  { pathParameters = {} }: Operation,
): { path: Record<string, string>; problems: ParameterProblem[] } {
  const path: Record<string, string> = {};
  const problems: ParameterProblem[] = [];
  for (const name of Object.keys(pathParameters)) {
    const value = text().safeParse(c.req.param(name));
    if (value.success) path[name] = value.data;
    else problems.push({ name, reason: value.error.issues[0]?.message ?? "is not valid" });
  }
  return { path, problems };
}

/** What every answer about requests begins with. */
export function windowAnswer(window: Window, environment: string | undefined) {
  return {
    from: formatTimestamp(window.fromUs),
    to: formatTimestamp(window.toUs),
    environment: environment ?? ALL_ENVIRONMENTS,
  };
}

/** A time of the store as an answer tells it, at most the end of the window that was asked for. */
export function completeThrough(timeUs: TimeUs | null, window: Window): string | null {
  return timeUs === null ? null : formatTimestamp(Math.min(Math.floor(timeUs), window.toUs));
}
