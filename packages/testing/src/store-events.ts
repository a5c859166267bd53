import type { Database } from "@timespan/store/database";
import { openPartition } from "@timespan/store/ingest/open-partition";
import { writeBatch } from "@timespan/store/ingest/write-batch";
import { decodeLogEvent } from "@timespan/telemetry/wire/decode-log-event";
import { decodeSpanEvent } from "@timespan/telemetry/wire/decode-span-event";
import { TestBatch } from "./test-batch.ts";
import type { LogEvent, SpanEvent } from "./workload/events.ts";

/**
 * Stores events as the stream-processor does: one Kafka record an event, decoded, in one batch.
 * @param database with the rights of `timespan_writer`
 */
export async function storeEvents(
  database: Database,
  topic: string,
  events: readonly (SpanEvent | LogEvent)[],
): Promise<void> {
  const opened = await openPartition(database, topic, 0, { low: 0, high: Number.MAX_SAFE_INTEGER });
  const batch = new TestBatch({
    topic,
    partition: 0,
    sourceId: opened.sourceId,
    startOffset: opened.nextOffset,
    endOffset: opened.nextOffset + events.length,
    lateBeforeUs: Number.NEGATIVE_INFINITY,
  });
  for (const [index, event] of events.entries()) {
    const bytes = new TextEncoder().encode(JSON.stringify(event));
    const source = { offset: opened.nextOffset + index, index: 0 };
    if (event.type === "span") {
      const decoded = decodeSpanEvent(bytes, 0);
      if (!decoded.ok) throw new Error(decoded.rejection.detail);
      batch.addSpan(decoded.value, source);
    } else {
      const decoded = decodeLogEvent(bytes, 0);
      if (!decoded.ok) throw new Error(decoded.rejection.detail);
      batch.addLog(decoded.value, source);
    }
  }
  const written = await writeBatch(database, batch);
  if (written.outcome !== "written" || written.deadLetters.length > 0) {
    throw new Error(`the events were not stored: ${JSON.stringify(written)}`);
  }
}
