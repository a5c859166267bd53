import type { LogRecord } from "@timespan/telemetry/log-record";
import type { Rejection } from "@timespan/telemetry/rejection";
import type { Span } from "@timespan/telemetry/span";
import type { TimeUs } from "@timespan/telemetry/timestamp";

/** Where in its partition a row came from: the Kafka record's offset, and the position within that record. */
export interface Source {
  offset: number;
  index: number;
}

export interface SpanRow {
  span: Span;
  source: Source;
}

export interface LogRow {
  log: LogRecord;
  source: Source;
}

export interface DeadLetter {
  rejection: Rejection;
  source: Source;
  /** The record's value; null where it had none. */
  payload: Uint8Array | null;
}

/** Everything that the records `[startOffset, endOffset)` of one partition turned into. */
export interface Batch {
  topic: string;
  partition: number;
  /** Short name of the partition, from `openPartition`. */
  sourceId: number;
  /** The offset that the store is believed to be at: the fence. */
  startOffset: number;
  /** The offset that it will be at afterwards. */
  endOffset: number;
  /** Rows before this time are staged and moved later; see `moveLateRows`. */
  lateBeforeUs: TimeUs;
  spans: SpanRow[];
  logs: LogRow[];
  deadLetters: DeadLetter[];
  /** The dead letter of a row that the database refuses, with what came of it from Kafka. */
  deadLetter(rejection: Rejection, source: Source): DeadLetter;
}
