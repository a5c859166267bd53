import type { Clock } from "@timespan/runtime/clock";
import { listRootSpans } from "@timespan/store/traces/list-root-spans";
import { type RootSpanList, rootSpanList } from "@timespan/telemetry/api/list-answer";
import { word } from "@timespan/telemetry/api/parameter-schemas";
import { SPAN_SORTS } from "@timespan/telemetry/api/span-item";
import type { Handler } from "hono";
import { z } from "zod";
import type { ApiEnv } from "../api-env.ts";
import { durationBounds, durationMs, durationProblems } from "../duration-bounds.ts";
import { type ListDefinition, listAnswer, listParameters, readListRequest } from "../list-request.ts";
import { readPath } from "../metric-request.ts";
import type { Operation } from "../operation.ts";
import { environment, oneOf, withDefault } from "../parameters.ts";
import { invalidParameters } from "../problem.ts";

const TRACES_SIZE_MAX = 200;
/** Of root spans, whose status is seldom left open. */
const STATUSES = ["OK", "ERROR"] as const;

export const serviceTracesParameters = z.object({
  environment: environment(),
  status: word(STATUSES).optional().describe("Status of the root span."),
  min_duration_ms: durationMs.optional().describe("Shortest duration, included, in milliseconds."),
  max_duration_ms: durationMs.optional().describe("Longest duration, included, in milliseconds."),
  ...listParameters(TRACES_SIZE_MAX),
  sort: withDefault(oneOf(SPAN_SORTS), "start_time_desc"),
});

export const serviceTracesOperation: Operation<typeof serviceTracesParameters> = {
  id: "listServiceTraces",
  path: "/query/services/:serviceName/traces",
  summary: "Traces that began at a service, newest first unless asked otherwise.",
  pathParameters: {
    serviceName: "Name of the service.",
  },
  parameters: serviceTracesParameters,
  takesLabels: true,
  answer: rootSpanList,
};

const definition: ListDefinition<typeof serviceTracesParameters> = {
  name: "service-traces",
  schema: serviceTracesParameters,
  check: durationProblems,
};

/** `GET /query/services/:serviceName/traces`: traces that began at a service, newest first unless asked otherwise. */
export const serviceTracesRoute =
  (clock: Clock): Handler<ApiEnv> =>
  async (c) => {
    const { path, problems } = readPath(c, serviceTracesOperation);
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
