import type { TimeUs } from "@timespan/telemetry/timestamp";
import type { Database } from "../database.ts";
import type { Fragment } from "./filters.ts";

/**
 * A time as a parameter. The driver would turn a `timestamptz` into a Date and drop microseconds, and text is turned
 * into a time only while a statement runs: a number is known to the planner, which then leaves out chunks and partitions.
 */
export function timeParameter(database: Database, timeUs: TimeUs): Fragment {
  return database`(TIMESTAMP '1970-01-01' + ${timeUs}::double precision * INTERVAL '1 microsecond') AT TIME ZONE 'UTC'`;
}

/** A span id, given as 16 hex digits, as the signed integer that rows hold. */
export function spanIdParameter(database: Database, spanId: string): Fragment {
  return database`${BigInt.asIntN(64, BigInt(`0x${spanId}`)).toString()}::bigint`;
}

/** `text` with the wildcards of LIKE taken literally. */
export function escapeLike(text: string): string {
  return text.replace(/[\\%_]/g, "\\$&");
}
