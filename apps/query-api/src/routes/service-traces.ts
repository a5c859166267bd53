import type { Clock } from "@timespan/runtime/clock";
import { listRootSpans } from "@timespan/store/traces/list-root-spans";
import type { RootSpanList } from "@timespan/telemetry/api/list-answer";
import { word } from "@timespan/telemetry/api/parameter-schemas";
import { SPAN_SORTS } from "@timespan/telemetry/api/span-item";
import { environmentName } from "@timespan/telemetry/environment-name";
import type { Handler } from "hono";
import { z } from "zod";
import type { ApiEnv } from "../api-env.ts";
import { durationBounds, durationMs, durationProblems } from "../duration-bounds.ts";
import { type ListDefinition, listAnswer, listParameters, readListRequest } from "../list-request.ts";
import { readPath } from "../metric-request.ts";
import { oneOf, text } from "../parameters.ts";
import { invalidParameters } from "../problem.ts";

const TRACES_SIZE_MAX = 200;
/** Of root spans, whose status is seldom left open. */
const STATUSES = ["OK", "ERROR"] as const;

export const serviceTracesParameters = z.object({
  environment: text().transform(environmentName).optional().describe("prod, dev and stage are spelled out."),
  status: word(STATUSES).optional().describe("Status of the root span."),
  min_duration_ms: durationMs.optional().describe("Shortest duration, included, in milliseconds."),
  max_duration_ms: durationMs.optional().describe("Longest duration, included, in milliseconds."),
  ...listParameters(TRACES_SIZE_MAX),
  sort: oneOf(SPAN_SORTS)
    .optional()
    .transform((sort) => sort ?? "start_time_desc"),
});

const definition: ListDefinition<typeof serviceTracesParameters> = {
  name: "service-traces",
  schema: serviceTracesParameters,
  check: durationProblems,
};

/** `GET /query/services/:serviceName/traces`: traces that began at a service, newest first unless asked otherwise. */
export const serviceTracesRoute =
  (clock: Clock): Handler<ApiEnv> =>
  async (c) => {
    const { path, problems } = readPath(c, ["serviceName"]);
    const read = readListRequest(definition, new URL(c.req.url).searchParams, clock.nowMs(), path);
    if (!read.ok || problems.length > 0) {
      return invalidParameters([...problems, ...(read.ok ? [] : read.problems)]);
    }
    const { parameters, labels, range, page } = read.request;
    const found = await listRootSpans(
      c.get("database"),
      c.get("access"),
      {
        range,
        serviceName: path.serviceName,
        environment: parameters.environment,
        status: parameters.status,
        ...durationBounds(parameters),
        labels,
      },
      parameters.sort,
      page,
    );
    const { items: traces, ...rest } = listAnswer(read.request, found);
    const answer: RootSpanList = { ...rest, traces };
    return c.json(answer);
  };
