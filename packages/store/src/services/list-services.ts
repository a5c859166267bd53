import type { Access } from "@timespan/telemetry/access";
import type { RequestSort } from "@timespan/telemetry/api/request-figures";
import type { Database } from "../database.ts";
import { given } from "../query/filters.ts";
import { type RankedRequests, rankRequests } from "../query/rank-requests.ts";
import type { RollupUse, Window } from "../query/request-segments.ts";
import { visibleRows } from "../query/visible-rows.ts";

export interface ServiceQuestion {
  window: Window;
  environment?: string | undefined;
  /** Contained in the name, upper and lower case alike. */
  nameFilter?: string | undefined;
  sort: RequestSort;
  limit: number;
}

/**
 * The services with a span in the window, of any kind, with the figures of their requests.
 * @throws the driver's error where the database is away or the statement ran into its limit
 */
export function listServices(
  database: Database,
  access: Access,
  rollups: RollupUse,
  question: ServiceQuestion,
): Promise<RankedRequests> {
  return rankRequests(database, rollups, {
    ...question,
    grain: "service",
    key: () => database`service_name`,
    matching: [
      ...visibleRows(database, access),
      ...given(question.environment, (name) => database`environment = ${name}`),
    ],
    everyKind: true,
  });
}
