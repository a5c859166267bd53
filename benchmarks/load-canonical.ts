import type { Database } from "@timespan/store/database";
import { openPartition } from "@timespan/store/ingest/open-partition";
import { writeBatch } from "@timespan/store/ingest/write-batch";
import type { Decoded } from "@timespan/telemetry/rejection";
import { decodeLogEvent } from "@timespan/telemetry/wire/decode-log-event";
import { decodeSpanEvent } from "@timespan/telemetry/wire/decode-span-event";
import { TestBatch } from "@timespan/testing/test-batch";
import { canonicalLogs, canonicalSpans } from "@timespan/testing/workload/canonical";

const SEED = 7;
const BATCH_ROWS = 20_000;

/** How much of the canonical workload, and when it happened: evenly over `[fromMs, toMs)`, epoch milliseconds. */
export interface Load {
  spans: number;
  logs: number;
  fromMs: number;
  toMs: number;
  /** Called after every batch with the share that is stored, 0..1. */
  report(share: number): void;
}

/** Stores the workload as the stream-processor would, in the order of time. */
export async function loadCanonical(database: Database, load: Load): Promise<void> {
  const seconds = (load.toMs - load.fromMs) / 1_000;
  const rows = load.spans + load.logs;
  const spans = canonicalSpans({ seed: SEED, startMs: load.fromMs, spansPerSecond: load.spans / seconds });
  const logs = canonicalLogs({ seed: SEED, startMs: load.fromMs, logsPerSecond: load.logs / seconds });
  const topic = `bench-${load.fromMs}`;
  const { sourceId } = await openPartition(database, topic, 0, { low: 0, high: rows });
  let stored = 0;
  const spanShare = load.spans / rows;
  let spanCount = 0;
  let logCount = 0;
  while (stored < rows) {
    const startOffset = stored;
    const endOffset = Math.min(rows, startOffset + BATCH_ROWS);
    const spansDue = Math.round(endOffset * spanShare) - spanCount;
    const logsDue = endOffset - startOffset - spansDue;
    let offset = startOffset;
    const batch = new TestBatch({ topic, partition: 0, sourceId, startOffset, endOffset, lateBeforeUs: 0 });
    for (const event of take(spans, spansDue)) {
      batch.addSpan(accepted(decodeSpanEvent(Buffer.from(JSON.stringify(event)), 0)), {
        offset: offset++,
        index: 0,
      });
    }
    for (const event of take(logs, logsDue)) {
      batch.addLog(accepted(decodeLogEvent(Buffer.from(JSON.stringify(event)), 0)), {
        offset: offset++,
        index: 0,
      });
    }
    const outcome = await writeBatch(database, batch);
    if (outcome.outcome !== "written") throw new Error("something else writes to this database");
    spanCount += spansDue;
    logCount += logsDue;
    stored = spanCount + logCount;
    load.report(stored / rows);
  }
}

/** `Iterator.take` would close the generator, which goes on with the next batch. */
function take<T>(from: Generator<T, never, undefined>, count: number): T[] {
  return Array.from({ length: count }, () => from.next().value);
}

function accepted<T>(decoded: Decoded<T>): T {
  if (!decoded.ok) throw new Error(decoded.rejection.detail);
  return decoded.value;
}
