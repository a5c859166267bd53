import {
  type EndpointTracesQuestion,
  listEndpointTraces,
} from "@timespan/store/endpoints/list-endpoint-traces";
import type { RollupUse } from "@timespan/store/query/request-segments";
import {
  ENDPOINT_TRACE_STATUSES,
  type EndpointTraceList,
  endpointTraceList,
} from "@timespan/telemetry/api/endpoint-trace-list";
import { word } from "@timespan/telemetry/api/parameter-schemas";
import { z } from "zod";
import { type MetricRoute, metricParameters } from "../metric-request.ts";
import type { Operation } from "../operation.ts";
import { decimal, wholeNumber, withDefault } from "../parameters.ts";

const TRACES_DEFAULT = 20;
const TRACES_MAX = 1_000;
const SLOW_PERCENTILE_DEFAULT = 95;

export const endpointTracesParameters = z.object({
  ...metricParameters,
  status: word(ENDPOINT_TRACE_STATUSES)
    .optional()
    .describe("ERROR: the newest that failed. SLOW: the slowest. The newest of all where nothing is said."),
  limit: withDefault(wholeNumber(1, TRACES_MAX), TRACES_DEFAULT).describe("Most requests of the answer."),
  slow_percentile: withDefault(decimal(50, 100), SLOW_PERCENTILE_DEFAULT).describe(
    "Slow is what took at least this percentile of the endpoint's requests in the window.",
  ),
});

export const endpointTracesOperation: Operation<typeof endpointTracesParameters> = {
  id: "listEndpointTraces",
  path: "/query/services/:serviceName/endpoints/:endpointName{.+}/traces",
  summary: "Requests of an endpoint that are worth a look.",
  pathParameters: {
    serviceName: "Name of the service.",
    endpointName: "Name of the endpoint, percent-encoded.",
  },
  parameters: endpointTracesParameters,
  answer: endpointTraceList,
};

/** `GET /query/services/:serviceName/endpoints/:endpointName/traces`: requests of an endpoint that are worth a look. */
export const endpointTracesRoute = (
  rollups: () => Promise<RollupUse>,
): MetricRoute<typeof endpointTracesParameters, EndpointTracesQuestion, EndpointTraceList> => ({
  name: "endpoint-traces",
  operation: endpointTracesOperation,
  ask: ({ values, path, window }) => ({
    ok: true,
    question: {
      serviceName: path.serviceName ?? "",
      endpoint: path.endpointName ?? "",
      environment: values.environment,
      window,
      only:
        values.status === "SLOW"
          ? { slowQuantile: values.slow_percentile / 100 }
          : values.status === "ERROR"
            ? "errors"
            : undefined,
      limit: values.limit,
    },
  }),
  answer: async (question, { database, access }) =>
    listEndpointTraces(database, access, await rollups(), question),
});
