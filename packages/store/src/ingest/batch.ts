import type { LogPattern } from "@timespan/telemetry/log-pattern";
import type { LogRecord } from "@timespan/telemetry/log-record";
import type { Rejection } from "@timespan/telemetry/rejection";
import type { Resource } from "@timespan/telemetry/resource";
import type { Span } from "@timespan/telemetry/span";
import type { TimeUs } from "@timespan/telemetry/timestamp";
import { logRecordColumns } from "../log-records/log-record-columns.ts";
import { spanColumns } from "../spans/span-columns.ts";
import { TraceLocations } from "../traces/trace-locator-columns.ts";
import { BatchRows } from "./batch-rows.ts";

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

/** What is known of a batch before its first record. */
export interface BatchStart {
  topic: string;
  partition: number;
  /** Short name of the partition, from `openPartition`. */
  sourceId: number;
  /** The offset that the store is believed to be at: the fence. */
  startOffset: number;
  /** Rows before this time are staged and moved later; see `moveLateRows`. */
  lateBeforeUs: TimeUs;
}

/**
 * Everything that the records `[startOffset, endOffset)` of one partition turned into. Rows are encoded as they are
 * added; what they have in common with others (traces, resources, patterns) is gathered beside.
 */
export abstract class Batch implements BatchStart {
  readonly topic: string;
  readonly partition: number;
  readonly sourceId: number;
  readonly startOffset: number;
  readonly lateBeforeUs: TimeUs;
  /** The offset that the store will be at afterwards. */
  endOffset: number;
  readonly spans: BatchRows<SpanRow>;
  readonly logs: BatchRows<LogRow>;
  readonly lateSpans: BatchRows<SpanRow>;
  readonly lateLogs: BatchRows<LogRow>;
  readonly deadLetters: DeadLetter[] = [];
  readonly traces = new TraceLocations();
  /** By identity: rows of one resource, or of one pattern, share the object, and comparing references costs nothing. */
  readonly resources = new Set<Resource>();
  readonly logPatterns = new Set<LogPattern>();

  constructor({ topic, partition, sourceId, startOffset, lateBeforeUs }: BatchStart) {
    this.topic = topic;
    this.partition = partition;
    this.sourceId = sourceId;
    this.startOffset = startOffset;
    this.endOffset = startOffset;
    this.lateBeforeUs = lateBeforeUs;
    this.spans = new BatchRows("timespan.spans", spanColumns(sourceId));
    this.logs = new BatchRows("timespan.log_records", logRecordColumns(sourceId));
    this.lateSpans = new BatchRows("timespan.late_spans", this.spans.encoded.columns);
    this.lateLogs = new BatchRows("timespan.late_log_records", this.logs.encoded.columns);
  }

  /** The dead letter of a row that the database refuses, with what came of it from Kafka. */
  abstract deadLetter(rejection: Rejection, source: Source): DeadLetter;

  addSpan(span: Span, source: Source): void {
    const rows = span.startTimeUs < this.lateBeforeUs ? this.lateSpans : this.spans;
    rows.push({ span, source }, span.serviceName, span.startTimeUs);
    this.traces.extend(span.traceId, span.startTimeUs);
    this.resources.add(span.resource);
  }

  addLog(log: LogRecord, source: Source): void {
    const rows = log.timeUs < this.lateBeforeUs ? this.lateLogs : this.logs;
    rows.push({ log, source }, log.serviceName, log.timeUs);
    if (log.traceId !== null) this.traces.extend(log.traceId, log.timeUs);
    this.resources.add(log.resource);
    this.logPatterns.add(log.pattern);
  }

  /** Gives the memory of a written batch to others: the batch must not be used any more. */
  release(): void {
    for (const { encoded } of [this.spans, this.logs, this.lateSpans, this.lateLogs]) encoded.release();
  }

  /** Rows and dead letters. */
  get rowCount(): number {
    return this.lateRowCount + this.spans.length + this.logs.length + this.deadLetters.length;
  }

  get lateRowCount(): number {
    return this.lateSpans.length + this.lateLogs.length;
  }

  get encodedBytes(): number {
    const { spans, logs, lateSpans, lateLogs } = this;
    return (
      spans.encoded.byteLength +
      logs.encoded.byteLength +
      lateSpans.encoded.byteLength +
      lateLogs.encoded.byteLength
    );
  }
}
