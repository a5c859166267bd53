import type { Access } from "@timespan/telemetry/access";
import type { Database } from "../database.ts";
import { type Fragment, given } from "./filters.ts";

/** The conditions that leave only what the caller may see, of any relation with `service_name` and `environment`. */
export function visibleRows(sql: Database, { services, environments }: Access): Fragment[] {
  return [
    given(services, (names) => sql`service_name = ANY (${[...names]}::text[])`),
    given(environments, (names) => sql`environment = ANY (${[...names]}::text[])`),
  ].flat();
}
