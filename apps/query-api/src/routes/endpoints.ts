import { type EndpointQuestion, listEndpoints } from "@timespan/store/endpoints/list-endpoints";
import type { RollupUse } from "@timespan/store/query/request-segments";
import { type EndpointList, endpointList } from "@timespan/telemetry/api/endpoint-list";
import { REQUEST_SORTS } from "@timespan/telemetry/api/request-figures";
import { z } from "zod";
import { completeThrough, type MetricRoute, metricParameters, windowAnswer } from "../metric-request.ts";
import type { Operation } from "../operation.ts";
import { oneOf, text, wholeNumber, withDefault } from "../parameters.ts";
import { figuresAnswer } from "../request-figures.ts";

const ENDPOINTS_DEFAULT = 10;
const ENDPOINTS_MAX = 1_000;
const ENDPOINTS_WINDOW_MS = 60 * 60_000;

export const endpointListParameters = z.object({
  ...metricParameters,
  name_filter: text()
    .optional()
    .describe("Contained in the name of the endpoint, upper and lower case alike."),
  metric: oneOf(REQUEST_SORTS).optional().describe("What to sort by, where sort_by does not say it."),
  sort_by: oneOf(REQUEST_SORTS)
    .optional()
    .describe(
      "Largest first; all that match are sorted, before the limit. request_count where nothing is said.",
    ),
  limit: withDefault(wholeNumber(1, ENDPOINTS_MAX), ENDPOINTS_DEFAULT).describe(
    "Most endpoints of the answer.",
  ),
});

export const endpointsOperation: Operation<typeof endpointListParameters> = {
  id: "listEndpoints",
  path: "/query/services/:serviceName/endpoints",
  summary: "Endpoints of a service with the figures of their requests, ranked.",
  pathParameters: {
    serviceName: "Name of the service.",
  },
  parameters: endpointListParameters,
  answer: endpointList,
};

/** `GET /query/services/:serviceName/endpoints`: its endpoints of the last hour, or of the window asked for, ranked. */
export const endpointsRoute = (
  rollups: () => Promise<RollupUse>,
): MetricRoute<typeof endpointListParameters, EndpointQuestion, EndpointList> => ({
  name: "endpoints",
  operation: endpointsOperation,
  defaultWindowMs: ENDPOINTS_WINDOW_MS,
  ask: ({ values, path, window }) => ({
    ok: true,
    question: {
      serviceName: path.serviceName ?? "",
      window,
      environment: values.environment,
      nameFilter: values.name_filter,
      sort: values.sort_by ?? values.metric ?? "request_count",
      limit: values.limit,
    },
  }),
  async answer(question, { database, access }) {
    const { window, serviceName } = question;
    const { source, completeThroughUs, ranked } = await listEndpoints(
      database,
      access,
      await rollups(),
      question,
    );
    const { from, to, environment } = windowAnswer(window, question.environment);
    return {
      service_name: serviceName,
      environment,
      from,
      to,
      source,
      complete_through: completeThrough(completeThroughUs, window),
      endpoints: ranked.map((figures) => ({
        endpoint_name: figures.key,
        service_name: serviceName,
        environment,
        ...figuresAnswer(figures, window),
      })),
    };
  },
});
