import type { Access } from "@timespan/telemetry/access";

/** What every request of the API carries besides itself, for Hono's context. */
export interface ApiEnv {
  Variables: {
    /** Of the caller; every query is held to it. */
    access: Access;
  };
}
