import type { Database } from "@timespan/store/database";
import { openPartition } from "@timespan/store/ingest/open-partition";
import { writeBatch } from "@timespan/store/ingest/write-batch";
import { decodeLogEvent } from "@timespan/telemetry/wire/decode-log-event";
import {
  decodeErrorEvent,
  type ErrorEvent,
  encodeErrorEvent,
  errorEventId,
  isError,
} from "@timespan/telemetry/wire/error-event";
import { TestBatch } from "@timespan/testing/test-batch";
import type { LogEvent } from "@timespan/testing/workload/events";

/**
 * Stores logs of one partition as the stream-processor does, and forwards the errors among them before.
 * @param database with the rights of `timespan_writer`
 * @param forward gets the errors before the rows are written, as Kafka does
 */
export async function storeErrors(
  database: Database,
  topic: string,
  partition: number,
  logs: readonly LogEvent[],
  forward: (events: ErrorEvent[]) => void,
): Promise<void> {
  const opened = await openPartition(database, topic, partition, { low: 0, high: Number.MAX_SAFE_INTEGER });
  const { sourceId, nextOffset } = opened;
  const batch = new TestBatch({
    topic,
    partition,
    sourceId,
    startOffset: nextOffset,
    endOffset: nextOffset + logs.length,
    lateBeforeUs: Number.NEGATIVE_INFINITY,
  });
  const errors: ErrorEvent[] = [];
  for (const [index, event] of logs.entries()) {
    const decoded = decodeLogEvent(new TextEncoder().encode(JSON.stringify(event)), 0);
    if (!decoded.ok) throw new Error(decoded.rejection.detail);
    const offset = nextOffset + index;
    batch.addLog(decoded.value, { offset, index: 0 });
    if (!isError(decoded.value)) continue;
    const error = decodeErrorEvent(
      Buffer.from(encodeErrorEvent(decoded.value, errorEventId(sourceId, offset, 0))),
    )?.event;
    if (error !== undefined) errors.push(error);
  }
  forward(errors);
  const written = await writeBatch(database, batch);
  if (written.outcome !== "written") throw new Error(`not stored: ${JSON.stringify(written)}`);
}
