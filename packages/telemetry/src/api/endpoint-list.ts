import { z } from "zod";
import { timestamp } from "./labels.ts";
import { environmentOrAll, provenance, requestFigures } from "./request-figures.ts";

/** Answer of `/query/services/:serviceName/endpoints`. */
export const endpointList = z.strictObject({
  service_name: z.string(),
  environment: environmentOrAll,
  from: timestamp,
  to: timestamp,
  ...provenance,
  endpoints: z.array(
    z.strictObject({
      endpoint_name: z
        .string()
        .describe("Method and route, ids taken out; `other` where there were too many."),
      service_name: z.string(),
      environment: environmentOrAll,
      ...requestFigures,
    }),
  ),
});

export type EndpointList = z.infer<typeof endpointList>;
