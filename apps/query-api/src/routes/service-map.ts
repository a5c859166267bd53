import type { RollupUse, Window } from "@timespan/store/query/request-segments";
import { readServiceMap } from "@timespan/store/service-map/read-service-map";
import { type ServiceMap, serviceMap } from "@timespan/telemetry/api/service-map-answer";
import { z } from "zod";
import { completeThrough, type MetricRoute, metricParameters, windowAnswer } from "../metric-request.ts";
import type { Operation } from "../operation.ts";
import { wholeMinutes } from "../whole-minutes.ts";

const serviceMapParameters = z.object(metricParameters);

export const serviceMapOperation: Operation<typeof serviceMapParameters> = {
  id: "readServiceMap",
  path: "/query/service-map",
  summary: "The services of a window, whom they called, and how that went.",
  description: "The window is widened to whole minutes.",
  parameters: serviceMapParameters,
  answer: serviceMap,
};

interface ServiceMapQuestion {
  window: Window;
  environment: string | undefined;
}

/** `GET /query/service-map`: services, databases, queues and external hosts of a window, and the calls between them. */
export const serviceMapRoute = (
  rollups: () => Promise<RollupUse>,
): MetricRoute<typeof serviceMapParameters, ServiceMapQuestion, ServiceMap> => ({
  name: "service-map",
  operation: serviceMapOperation,
  ask: ({ values, window }) => ({
    ok: true,
    question: { window: wholeMinutes(window), environment: values.environment },
  }),
  async answer(question, { database, access }) {
    const { storedUntilUs, truncated, nodes, edges } = await readServiceMap(
      database,
      access,
      await rollups(),
      question,
    );
    return {
      ...windowAnswer(question.window, question.environment),
      complete_through: completeThrough(storedUntilUs, question.window),
      truncated,
      nodes,
      edges,
    };
  },
});
