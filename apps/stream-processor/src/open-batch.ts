import type { ConsumedRecord } from "@timespan/broker/consumer";
import { Batch, type BatchStart, type DeadLetter, type Source } from "@timespan/store/ingest/batch";
import type { Guards } from "@timespan/telemetry/guards";
import type { Rejection } from "@timespan/telemetry/rejection";
import { RecordBytes } from "./record-bytes.ts";

/** Why a batch was closed. */
export type CloseReason = "rows" | "bytes" | "age" | "revoke" | "shutdown";

/**
 * What of a record's value became the row at `index`, as a value of its own: a record of many must not be kept, and
 * replayed, as a whole for one of them. Null where it cannot be taken out.
 */
export type ItemAt = (value: Uint8Array, index: number) => Uint8Array | null;

export interface OpenBatchOptions extends BatchStart {
  openedAtMs: number;
  guards: Guards;
  itemAt: ItemAt;
}

/** A batch that is being filled, from the first record after `startOffset`. */
export class OpenBatch extends Batch {
  readonly openedAtMs: number;
  /** Forwards of this batch's errors; all must be acknowledged before the batch is written. */
  readonly forwards: Promise<void>[] = [];
  closedBy: CloseReason | undefined;
  readonly #guards: Guards;
  readonly #itemAt: ItemAt;
  readonly #records = new RecordBytes();
  #recordCount = 0;

  constructor({ openedAtMs, guards, itemAt, ...start }: OpenBatchOptions) {
    super(start);
    this.openedAtMs = openedAtMs;
    this.#guards = guards;
    this.#itemAt = itemAt;
  }

  /** What the records had, for the limit of a batch. */
  get recordBytes(): number {
    return this.#records.byteLength + this.#recordCount * RECORD_OVERHEAD_BYTES;
  }

  /** What the batch holds in memory, for the limit of all that wait to be written. */
  get heldBytes(): number {
    return this.recordBytes + this.encodedBytes;
  }

  /** Takes account of a record whose rows or rejection were added, and moves the end of the batch past it. */
  cover({ offset, value }: ConsumedRecord): void {
    this.#recordCount++;
    if (value !== null) this.#records.push(offset, value);
    this.endOffset = offset + 1;
  }

  override release(): void {
    super.release();
    this.#records.release();
  }

  deadLetter(rejection: Rejection, source: Source): DeadLetter {
    const value = this.#records.find(source.offset);
    const item = value === undefined ? null : this.#itemAt(value, source.index);
    return { ...this.#guards.deadLetter(rejection, item), source };
  }
}

/** What a record still costs beside its value, so that a flood of empty ones has a bound too. */
const RECORD_OVERHEAD_BYTES = 64;
