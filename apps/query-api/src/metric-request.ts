import type { Clock } from "@timespan/runtime/clock";
import type { Database } from "@timespan/store/database";
import type { RollupOptions, Window } from "@timespan/store/query/request-segments";
import type { Access } from "@timespan/telemetry/access";
import { ALL_ENVIRONMENTS } from "@timespan/telemetry/api/request-figures";
import { resolveTimeRange } from "@timespan/telemetry/time-range";
import { formatTimestamp, type TimeUs } from "@timespan/telemetry/timestamp";
import type { Context, Handler } from "hono";
import type { z } from "zod";
import type { ApiEnv } from "./api-env.ts";
import type { Operation } from "./operation.ts";
import { environment, readParameters, text, time } from "./parameters.ts";
import { invalidParameters, type ParameterProblem } from "./problem.ts";

export interface MetricSettings {
  /** Times that depend on now are taken from a clock that moves in steps of this length, so that questions repeat. */
  quantizationMs: number;
  /** Of a window that was not given. */
  defaultWindowMs: number;
  rollups: RollupOptions;
}

/** The parameters that every route of metrics takes. */
export const metricParameters = {
  from: time("Start of the window, included."),
  to: time("End of the window, not included."),
  environment: environment(),
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

/** Reads parameters, then answers: between the two lies all that an answer depends on. */
export function metricRoute<S extends MetricSchema, Question extends object, Answer extends object>(
  route: MetricRoute<S, Question, Answer>,
  settings: MetricSettings,
  clock: Clock,
): Handler<ApiEnv> {
  return async (c) => {
    const asked = readQuestion(route, settings, c, clock.nowMs());
    if (!asked.ok) return invalidParameters(asked.problems);
    const asker = { database: c.get("database"), access: c.get("access") };
    return c.json(await route.answer(asked.question, asker));
  };
}

function readQuestion<S extends MetricSchema, Question extends object, Answer extends object>(
  route: MetricRoute<S, Question, Answer>,
  settings: MetricSettings,
  c: Context<ApiEnv>,
  nowMs: number,
): Asked<Question> {
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
  return route.ask({ values: values as z.output<S>, path, window: resolved.range as Window });
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
