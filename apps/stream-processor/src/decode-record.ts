import type { ConsumedRecord } from "@timespan/broker/consumer";
import type { LogRow } from "@timespan/store/ingest/batch";
import { type AcceptedTimes, checkTime } from "@timespan/telemetry/time-window";
import { decodeLogEvent } from "@timespan/telemetry/wire/decode-log-event";
import { decodeSpanEvent } from "@timespan/telemetry/wire/decode-span-event";
import { isError } from "@timespan/telemetry/wire/error-event";
import type { OpenBatch } from "./open-batch.ts";

/** Turns one record into rows or a dead letter of `batch`; the errors among its logs are returned. */
export type DecodeRecord = (record: ConsumedRecord, batch: OpenBatch, accepted: AcceptedTimes) => LogRow[];

const NO_ERRORS: LogRow[] = [];

/** For a topic of span events, one a record. */
export const decodeSpanRecord: DecodeRecord = (record, batch, accepted) => {
  const source = { offset: record.offset, index: 0 };
  const decoded = decodeSpanEvent(record.value, record.timestampMs);
  const result = decoded.ok ? checkTime(decoded.value, decoded.value.startTimeUs, accepted) : decoded;
  if (result.ok) batch.spans.push({ span: result.value, source });
  else batch.deadLetters.push({ rejection: result.rejection, source, payload: record.value });
  return NO_ERRORS;
};

/** For a topic of log events, one a record. */
export const decodeLogRecord: DecodeRecord = (record, batch, accepted) => {
  const source = { offset: record.offset, index: 0 };
  const decoded = decodeLogEvent(record.value, record.timestampMs);
  const result = decoded.ok ? checkTime(decoded.value, decoded.value.timeUs, accepted) : decoded;
  if (!result.ok) {
    batch.deadLetters.push({ rejection: result.rejection, source, payload: record.value });
    return NO_ERRORS;
  }
  const row = { log: result.value, source };
  batch.logs.push(row);
  return isError(row.log) ? [row] : NO_ERRORS;
};
