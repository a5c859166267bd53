import { parseUnreadableBatch } from "@timespan/broker/codecs/unreadable-batch";
import type { ConsumedRecord } from "@timespan/broker/consumer";
import type { LogRow } from "@timespan/store/ingest/batch";
import type { Guards } from "@timespan/telemetry/guards";
import { type Rejection, reject } from "@timespan/telemetry/rejection";
import { type AcceptedTimes, checkTime } from "@timespan/telemetry/time-window";
import { decodeLogEvent } from "@timespan/telemetry/wire/decode-log-event";
import { decodeSpanEvent } from "@timespan/telemetry/wire/decode-span-event";
import { isError } from "@timespan/telemetry/wire/error-event";
import type { OpenBatch } from "./open-batch.ts";

/** Turns one record into rows or dead letters of `batch`; the errors among its logs are returned. */
export type DecodeRecord = (
  record: ConsumedRecord,
  batch: OpenBatch,
  accepted: AcceptedTimes,
  guards: Guards,
) => LogRow[];

const NO_ERRORS: LogRow[] = [];

/** For a topic of span events, one a record. */
export const decodeSpanRecord: DecodeRecord = (record, batch, accepted, guards) => {
  const decoded = unreadableBatch(record) ?? decodeSpanEvent(record.value, record.timestampMs, guards);
  const result = decoded.ok ? checkTime(decoded.value, decoded.value.startTimeUs, accepted) : decoded;
  if (!result.ok) return rejectRecord(result.rejection, record, batch, guards);
  batch.addSpan(result.value, { offset: record.offset, index: 0 });
  return NO_ERRORS;
};

/** For a topic of log events, one a record. */
export const decodeLogRecord: DecodeRecord = (record, batch, accepted, guards) => {
  const decoded = unreadableBatch(record) ?? decodeLogEvent(record.value, record.timestampMs, guards);
  const result = decoded.ok ? checkTime(decoded.value, decoded.value.timeUs, accepted) : decoded;
  if (!result.ok) return rejectRecord(result.rejection, record, batch, guards);
  const row = { log: result.value, source: { offset: record.offset, index: 0 } };
  batch.addLog(row.log, row.source);
  return isError(row.log) ? [row] : NO_ERRORS;
};

/** The rejection of a record that stands for a whole batch which could not be decompressed; `undefined` of others. */
export function unreadableBatch({ value }: ConsumedRecord): { ok: false; rejection: Rejection } | undefined {
  const unreadable = parseUnreadableBatch(value);
  return unreadable && reject("unreadable_batch", unreadable.detail);
}

/** Makes a dead letter of a whole record. */
export function rejectRecord(
  rejection: Rejection,
  { offset, value }: ConsumedRecord,
  batch: OpenBatch,
  guards: Guards,
): LogRow[] {
  // Of a batch that could not be decompressed, what is kept is the batch as it was.
  const payload = parseUnreadableBatch(value)?.compressed ?? value;
  batch.deadLetters.push({ ...guards.deadLetter(rejection, payload), source: { offset, index: 0 } });
  return NO_ERRORS;
}
