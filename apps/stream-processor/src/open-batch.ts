import type { ConsumedRecord } from "@timespan/broker/consumer";
import type { Batch, DeadLetter, LogRow, Source, SpanRow } from "@timespan/store/ingest/batch";
import type { Guards } from "@timespan/telemetry/guards";
import type { Rejection } from "@timespan/telemetry/rejection";

/** Why a batch was closed. */
export type CloseReason = "rows" | "bytes" | "age" | "revoke" | "shutdown";

/**
 * What of a record's value became the row at `index`, as a value of its own: a record of many must not be kept, and
 * replayed, as a whole for one of them. Null where it cannot be taken out.
 */
export type ItemAt = (value: Uint8Array, index: number) => Uint8Array | null;

/** A batch that is being filled, from the first record after `startOffset`. */
export class OpenBatch implements Batch {
  readonly spans: SpanRow[] = [];
  readonly logs: LogRow[] = [];
  readonly deadLetters: DeadLetter[] = [];
  /** Forwards of this batch's errors; all must be acknowledged before the batch is written. */
  readonly forwards: Promise<void>[] = [];
  bytes = 0;
  endOffset: number;
  closedBy: CloseReason | undefined;
  readonly #records: ConsumedRecord[] = [];

  constructor(
    readonly topic: string,
    readonly partition: number,
    readonly sourceId: number,
    readonly startOffset: number,
    readonly openedAtMs: number,
    readonly lateBeforeUs: number,
    private readonly guards: Guards,
    private readonly itemAt: ItemAt,
  ) {
    this.endOffset = startOffset;
  }

  get rowCount(): number {
    return this.spans.length + this.logs.length + this.deadLetters.length;
  }

  /** Takes account of a record whose rows or rejection were added, and moves the end of the batch past it. */
  cover(record: ConsumedRecord): void {
    this.#records.push(record);
    this.bytes += (record.value?.byteLength ?? 0) + RECORD_OVERHEAD_BYTES;
    this.endOffset = record.offset + 1;
  }

  deadLetter(rejection: Rejection, source: Source): DeadLetter {
    const value = this.#records.find((record) => record.offset === source.offset)?.value ?? null;
    const item = value === null ? null : this.itemAt(value, source.index);
    return { ...this.guards.deadLetter(rejection, item), source };
  }
}

/** What an empty record still costs, so that a flood of them has a bound too. */
const RECORD_OVERHEAD_BYTES = 64;
