import type { RejectionReason } from "@timespan/telemetry/rejection";
import type { TimeUs } from "@timespan/telemetry/timestamp";
import type { Database } from "../database.ts";
import { type Fragment, given } from "../query/filters.ts";
import { timeParameter } from "../query/parameters.ts";

/** `waiting`: nobody has done anything about it. */
export type DeadLetterState = "waiting" | "replayed" | "discarded";

/** What a dead letter must match; what is absent does not matter. */
export interface DeadLetterFilter {
  ids?: readonly number[] | undefined;
  topic?: string | undefined;
  reason?: string | undefined;
  /** Received then or later. */
  sinceUs?: TimeUs | undefined;
  state?: DeadLetterState | undefined;
}

/** The reason of a dead letter that holds a compressed batch instead of a record. */
export const UNREADABLE_BATCH: RejectionReason = "unreadable_batch";

/** One of the conditions for each thing that the filter asks for. */
export function deadLetterConditions(sql: Database, filter: DeadLetterFilter): Fragment[] {
  return [
    given(filter.ids, (ids) => sql`dead_letter_id = ANY(${[...ids]}::bigint[])`),
    given(filter.topic, (topic) => sql`topic = ${topic}`),
    given(filter.reason, (reason) => sql`reason = ${reason}`),
    given(filter.sinceUs, (sinceUs) => sql`received_at >= ${timeParameter(sql, sinceUs)}`),
    given(filter.state, (state) => {
      switch (state) {
        case "waiting":
          return sql`replayed_at IS NULL AND discarded_at IS NULL`;
        case "replayed":
          return sql`replayed_at IS NOT NULL`;
        case "discarded":
          return sql`discarded_at IS NOT NULL`;
      }
    }),
  ].flat();
}

/**
 * The conditions for what may be replayed: not yet replayed, with the bytes of a record to send (what is kept of an
 * unreadable batch is no record); discarded only where it is named by its id.
 */
export function replayableConditions(sql: Database, filter: DeadLetterFilter): Fragment[] {
  return [
    ...deadLetterConditions(sql, filter),
    sql`payload IS NOT NULL AND reason <> ${UNREADABLE_BATCH}`,
    filter.ids === undefined ? sql`replayed_at IS NULL AND discarded_at IS NULL` : sql`replayed_at IS NULL`,
  ];
}
