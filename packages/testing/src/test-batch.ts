import {
  Batch,
  type BatchStart,
  type DeadLetter,
  type LogRow,
  type Source,
  type SpanRow,
} from "@timespan/store/ingest/batch";
import type { Rejection } from "@timespan/telemetry/rejection";

export interface TestBatchParts extends BatchStart {
  endOffset: number;
  spans?: readonly SpanRow[];
  logs?: readonly LogRow[];
  deadLetters?: readonly DeadLetter[];
  /** By default the payload of a refused row is `record` and its offset. */
  deadLetter?(rejection: Rejection, source: Source): DeadLetter;
}

/** A batch that is filled at once, with no Kafka records behind it. */
export class TestBatch extends Batch {
  readonly #deadLetter: TestBatchParts["deadLetter"];

  constructor({ endOffset, spans, logs, deadLetters, deadLetter, ...start }: TestBatchParts) {
    super(start);
    this.endOffset = endOffset;
    this.#deadLetter = deadLetter;
    for (const { span, source } of spans ?? []) this.addSpan(span, source);
    for (const { log, source } of logs ?? []) this.addLog(log, source);
    this.deadLetters.push(...(deadLetters ?? []));
  }

  deadLetter(rejection: Rejection, source: Source): DeadLetter {
    const payload = Buffer.from(`record ${source.offset}`);
    return this.#deadLetter?.(rejection, source) ?? { rejection, source, payload };
  }
}
