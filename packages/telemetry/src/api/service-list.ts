import { z } from "zod";
import { timestamp } from "./labels.ts";
import { environmentOrAll, provenance, requestFigures } from "./request-figures.ts";

/** Answer of `/query/services`: every service with a span in the window, whatever its kind. */
export const serviceList = z.strictObject({
  from: timestamp,
  to: timestamp,
  environment: environmentOrAll,
  ...provenance,
  services: z.array(
    z.strictObject({ service_name: z.string(), environment: environmentOrAll, ...requestFigures }),
  ),
});

export type ServiceList = z.infer<typeof serviceList>;
