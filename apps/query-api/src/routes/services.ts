import type { RollupUse } from "@timespan/store/query/request-segments";
import { listServices, type ServiceQuestion } from "@timespan/store/services/list-services";
import { REQUEST_SORTS } from "@timespan/telemetry/api/request-figures";
import { type ServiceList, serviceList } from "@timespan/telemetry/api/service-list";
import { z } from "zod";
import { completeThrough, type MetricRoute, metricParameters, windowAnswer } from "../metric-request.ts";
import type { Operation } from "../operation.ts";
import { oneOf, text, wholeNumber, withDefault } from "../parameters.ts";
import { figuresAnswer } from "../request-figures.ts";

const SERVICES_DEFAULT = 100;
const SERVICES_MAX = 1_000;

export const serviceListParameters = z.object({
  ...metricParameters,
  name_filter: text()
    .optional()
    .describe("Contained in the name of the service, upper and lower case alike."),
  sort_by: withDefault(oneOf(REQUEST_SORTS), "request_count").describe(
    "Largest first; all that match are sorted, before the limit.",
  ),
  limit: withDefault(wholeNumber(1, SERVICES_MAX), SERVICES_DEFAULT).describe("Most services of the answer."),
});

export const servicesOperation: Operation<typeof serviceListParameters> = {
  id: "listServices",
  path: "/query/services",
  summary: "The services of a window with the figures of their requests.",
  parameters: serviceListParameters,
  answer: serviceList,
};

/** `GET /query/services`: the services of a window with the figures of their requests. */
export const servicesRoute = (
  rollups: () => Promise<RollupUse>,
): MetricRoute<typeof serviceListParameters, ServiceQuestion, ServiceList> => ({
  name: "services",
  operation: servicesOperation,
  ask: ({ values, window }) => ({
    ok: true,
    question: {
      window,
      environment: values.environment,
      nameFilter: values.name_filter,
      sort: values.sort_by,
      limit: values.limit,
    },
  }),
  async answer(question, { database, access }) {
    const { window } = question;
    const { source, completeThroughUs, ranked } = await listServices(
      database,
      access,
      await rollups(),
      question,
    );
    const { from, to, environment } = windowAnswer(window, question.environment);
    return {
      from,
      to,
      environment,
      source,
      complete_through: completeThrough(completeThroughUs, window),
      services: ranked.map((figures) => ({
        service_name: figures.key,
        environment,
        ...figuresAnswer(figures, window),
      })),
    };
  },
});
