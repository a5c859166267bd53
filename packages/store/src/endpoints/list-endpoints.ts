import type { Access } from "@timespan/telemetry/access";
import type { Database } from "../database.ts";
import { given } from "../query/filters.ts";
import { type RankedRequests, rankRequests } from "../query/rank-requests.ts";
import type { RollupUse } from "../query/request-segments.ts";
import { visibleRows } from "../query/visible-rows.ts";
import type { ServiceQuestion } from "../services/list-services.ts";

export interface EndpointQuestion extends ServiceQuestion {
  serviceName: string;
}

/**
 * The endpoints of a service that had a request in the window, with the figures of those.
 * @throws the driver's error where the database is away or the statement ran into its limit
 */
export function listEndpoints(
  database: Database,
  access: Access,
  rollups: RollupUse,
  question: EndpointQuestion,
): Promise<RankedRequests> {
  return rankRequests(database, rollups, {
    ...question,
    grain: "endpoint",
    key: () => database`endpoint`,
    matching: [
      database`service_name = ${question.serviceName}`,
      ...visibleRows(database, access),
      ...given(question.environment, (name) => database`environment = ${name}`),
    ],
  });
}
