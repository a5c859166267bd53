import type { ConsumedRecord } from "@timespan/broker/consumer";
import type { Batch, DeadLetter, LogRow, SpanRow } from "@timespan/store/ingest/batch";
import type { Guards } from "@timespan/telemetry/guards";

/** Why a batch was closed. */
export type CloseReason = "rows" | "bytes" | "age" | "revoke" | "shutdown";

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

  payloadAt(offset: number): Uint8Array | null {
    const value = this.#records.find((record) => record.offset === offset)?.value ?? null;
    return value === null ? null : this.guards.maskPayload(value);
  }
}

/** What an empty record still costs, so that a flood of them has a bound too. */
const RECORD_OVERHEAD_BYTES = 64;
