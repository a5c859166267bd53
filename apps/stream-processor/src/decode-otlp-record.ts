import type { ConsumedRecord } from "@timespan/broker/consumer";
import type { LogRow } from "@timespan/store/ingest/batch";
import type { Guards } from "@timespan/telemetry/guards";
import { type Rejection, type RejectionReason, reject } from "@timespan/telemetry/rejection";
import { checkTime } from "@timespan/telemetry/time-window";
import { isError } from "@timespan/telemetry/wire/error-event";
import { decodeLogsExport } from "@timespan/telemetry/wire/otlp/decode-logs-export";
import { decodeTraceExport } from "@timespan/telemetry/wire/otlp/decode-trace-export";
import { pickLogRecords, pickSpans } from "@timespan/telemetry/wire/otlp/pick-items";
import { type DecodeRecord, rejectRecord, unreadableBatch } from "./decode-record.ts";
import type { OpenBatch } from "./open-batch.ts";

/** For a topic of OpenTelemetry export requests, each of many spans. */
export const decodeOtlpSpanRecord: DecodeRecord = (record, batch, accepted, guards) => {
  const decoded = unreadableBatch(record) ?? decodeTraceExport(record.value, record.timestampMs, guards);
  if (!decoded.ok) return rejectRecord(decoded.rejection, record, batch, guards);
  const rejected = new RejectedItems();
  for (const [index, span] of decoded.value.entries()) {
    const result = span.ok ? checkTime(span.value, span.value.startTimeUs, accepted) : span;
    if (result.ok) batch.addSpan(result.value, { offset: record.offset, index });
    else rejected.add(index, result.rejection);
  }
  rejected.addDeadLetters(record, batch, guards, decoded.value.length, pickSpans);
  return [];
};

/** For a topic of OpenTelemetry export requests, each of many log records. */
export const decodeOtlpLogRecord: DecodeRecord = (record, batch, accepted, guards) => {
  const decoded = unreadableBatch(record) ?? decodeLogsExport(record.value, record.timestampMs, guards);
  if (!decoded.ok) return rejectRecord(decoded.rejection, record, batch, guards);
  const rejected = new RejectedItems();
  const errors: LogRow[] = [];
  for (const [index, log] of decoded.value.entries()) {
    const result = log.ok ? checkTime(log.value, log.value.timeUs, accepted) : log;
    if (!result.ok) {
      rejected.add(index, result.rejection);
      continue;
    }
    const row = { log: result.value, source: { offset: record.offset, index } };
    batch.addLog(row.log, row.source);
    if (isError(row.log)) errors.push(row);
  }
  rejected.addDeadLetters(record, batch, guards, decoded.value.length, pickLogRecords);
  return errors;
};

type PickItems = (bytes: Uint8Array | null, indexes: ReadonlySet<number>) => Uint8Array | null;

/**
 * The items of one export request that are not stored. They become one dead letter for each reason, which holds these
 * items alone as a request of its own: sent again it adds nothing twice, and a request of ten thousand old spans is
 * kept once and not ten thousand times.
 */
class RejectedItems {
  readonly #byReason = new Map<RejectionReason, { indexes: Set<number>; first: Rejection }>();

  add(index: number, rejection: Rejection): void {
    const found = this.#byReason.get(rejection.reason);
    if (found === undefined) {
      this.#byReason.set(rejection.reason, { indexes: new Set([index]), first: rejection });
    } else found.indexes.add(index);
  }

  addDeadLetters(
    record: ConsumedRecord,
    batch: OpenBatch,
    guards: Guards,
    itemCount: number,
    pick: PickItems,
  ): void {
    for (const [reason, { indexes, first }] of this.#byReason) {
      const [index = 0] = indexes;
      const { rejection } = reject(
        reason,
        `${indexes.size} of ${itemCount} items of the request, the first at ${index}: ${first.detail}`,
      );
      const deadLetter = guards.deadLetter(rejection, pick(record.value, indexes));
      batch.deadLetters.push({ ...deadLetter, source: { offset: record.offset, index } });
    }
  }
}
