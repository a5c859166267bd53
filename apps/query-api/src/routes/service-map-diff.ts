import type { Clock } from "@timespan/runtime/clock";
import type { Window } from "@timespan/store/query/request-segments";
import { MAP_EDGES_MAX, type MapEdges, readEdges } from "@timespan/store/service-map/read-edges";
import { ALL_ENVIRONMENTS } from "@timespan/telemetry/api/request-figures";
import { type ServiceMapDiff, serviceMapDiff } from "@timespan/telemetry/api/service-map-answer";
import { type ParsedTime, parseTime } from "@timespan/telemetry/time-range";
import { formatTimestamp } from "@timespan/telemetry/timestamp";
import type { Handler } from "hono";
import { z } from "zod";
import type { ApiEnv } from "../api-env.ts";
import type { Operation } from "../operation.ts";
import { environment, readParameters, time, wholeNumber, withDefault } from "../parameters.ts";
import { invalidParameters } from "../problem.ts";
import { wholeMinutes } from "../whole-minutes.ts";

const MINUTE_US = 60_000_000;
const DAY_US = 1_440 * MINUTE_US;
const WINDOW_MINUTES_DEFAULT = 60;
const WINDOW_MINUTES_MAX = 31 * 1_440;

const diffParameters = z.object({
  before: time("End of the first window; a day before the second one's where it is not given."),
  after: time("End of the second window; now where it is not given."),
  window_minutes: withDefault(wholeNumber(1, WINDOW_MINUTES_MAX), WINDOW_MINUTES_DEFAULT).describe(
    "Length of both windows, in minutes.",
  ),
  environment: environment(),
});

export const serviceMapDiffOperation: Operation<typeof diffParameters> = {
  id: "diffServiceMap",
  path: "/query/service-map/diff",
  summary: "Who calls whom that did not before, and who does no more.",
  description: `Two windows of the same length, widened to whole minutes, by their ends. Of each, at most ${MAP_EDGES_MAX} edges are compared.`,
  parameters: diffParameters,
  answer: serviceMapDiff,
};

/** `GET /query/service-map/diff`: edges that appeared or vanished between two windows. */
export const serviceMapDiffRoute =
  (clock: Clock): Handler<ApiEnv> =>
  async (c) => {
    const { values, problems } = readParameters(new URL(c.req.url).searchParams, diffParameters, {
      labels: false,
    });
    const after = parseTime(values.after ?? "now", clock.nowMs());
    const dayBefore: ParsedTime = after.ok ? { ok: true, timeUs: after.timeUs - DAY_US } : after;
    const before = values.before === undefined ? dayBefore : parseTime(values.before, clock.nowMs());
    if (!after.ok) problems.push({ name: "after", reason: after.reason });
    if (!before.ok && values.before !== undefined) problems.push({ name: "before", reason: before.reason });
    if (before.ok && after.ok && before.timeUs >= after.timeUs) {
      problems.push({ name: "before", reason: "must be before after" });
    }
    const lengthUs = (values.window_minutes ?? 0) * MINUTE_US;
    if (before.ok && before.timeUs < lengthUs) problems.push({ name: "before", reason: "lies too far back" });
    if (problems.length > 0 || !before.ok || !after.ok) return invalidParameters(problems);
    const windowBefore = wholeMinutes({ fromUs: before.timeUs - lengthUs, toUs: before.timeUs });
    const windowAfter = wholeMinutes({ fromUs: after.timeUs - lengthUs, toUs: after.timeUs });
    const read = (window: Window): Promise<MapEdges> =>
      readEdges(c.get("database"), c.get("access"), { window, environment: values.environment });
    const [old, recent] = await Promise.all([read(windowBefore), read(windowAfter)]);
    const answer: ServiceMapDiff = {
      environment: values.environment ?? ALL_ENVIRONMENTS,
      before: spelledOut(windowBefore),
      after: spelledOut(windowAfter),
      truncated: old.truncated || recent.truncated,
      appeared: missingFrom(old, recent),
      vanished: missingFrom(recent, old),
    };
    return c.json(answer);
  };

function missingFrom(other: MapEdges, { edges }: MapEdges) {
  const known = new Set(other.edges.map(({ source, target }) => `${source}\0${target}`));
  return edges.filter(({ source, target }) => !known.has(`${source}\0${target}`));
}

function spelledOut({ fromUs, toUs }: Window) {
  return { from: formatTimestamp(fromUs), to: formatTimestamp(toUs) };
}
