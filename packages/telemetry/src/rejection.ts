/** Why an event became a dead letter. The codes are stored and searched for: add, never rename. */
export type RejectionReason =
  | "malformed_json"
  | "malformed_protobuf"
  | "unreadable_batch"
  | "invalid_event"
  | "event_too_large"
  | "timestamp_too_old"
  | "timestamp_in_future"
  | "refused_by_database";

export interface Rejection {
  reason: RejectionReason;
  /** A sentence for the person who looks at the dead letter; at most {@link REJECTION_DETAIL_CHARACTERS_MAX}. */
  detail: string;
}

export const REJECTION_DETAIL_CHARACTERS_MAX = 2_000;

/** What decoding gives: bad input is a value, never an exception. */
export type Decoded<T> = { ok: true; value: T } | { ok: false; rejection: Rejection };

export function reject(reason: RejectionReason, detail: string): { ok: false; rejection: Rejection } {
  const fit =
    detail.length > REJECTION_DETAIL_CHARACTERS_MAX
      ? `${detail.slice(0, REJECTION_DETAIL_CHARACTERS_MAX - 1)}…`
      : detail;
  return { ok: false, rejection: { reason, detail: storableText(fit) } };
}

/** `text` as PostgreSQL can hold it: NUL and lone surrogates become U+FFFD. */
export function storableText(text: string): string {
  const wellFormed = text.isWellFormed() ? text : text.toWellFormed();
  return wellFormed.includes("\0") ? wellFormed.replaceAll("\0", "\uFFFD") : wellFormed;
}
