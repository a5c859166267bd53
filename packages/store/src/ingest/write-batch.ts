import type { LogPattern } from "@timespan/telemetry/log-pattern";
import { reject } from "@timespan/telemetry/rejection";
import type { Resource } from "@timespan/telemetry/resource";
import type { CopyColumn } from "../copy/copy-encoder.ts";
import { copyRows } from "../copy/copy-rows.ts";
import type { Database, Transaction } from "../database.ts";
import { databaseErrorKind, sqlState } from "../database-error.ts";
import { logRecordColumns } from "../log-records/log-record-columns.ts";
import { spanColumns } from "../spans/span-columns.ts";
import { locateTraces, traceLocatorColumns } from "../traces/trace-locator-columns.ts";
import type { Batch, DeadLetter, LogRow, Source, SpanRow } from "./batch.ts";
import { deadLetterColumns } from "./dead-letter-columns.ts";

/**
 * `written`: rows, dead letters and offset are durable. `fenced`: the store is not at `startOffset`, because
 * another process owns the partition or this batch was written before; nothing was changed, ask the store anew.
 */
export type WriteOutcome =
  | {
      outcome: "written";
      rowCount: number;
      /** How many of those, or of the refused ones, came late and were staged. */
      lateRowCount: number;
      deadLetters: readonly DeadLetter[];
    }
  | { outcome: "fenced" };

/**
 * Writes a batch and moves its partition's offset, in one transaction: all of it or nothing, and the same batch a
 * second time changes nothing. A row that the database refuses becomes a dead letter and the others are stored.
 *
 * The offset moves last. A process that is stopped in the middle of a COPY then holds no lock that its successor
 * needs, and one that is stopped after it loses its transaction to `idle_in_transaction_session_timeout`.
 *
 * @throws the driver's error where the database is away, busy or not what we think; see `databaseErrorKind`
 */
export async function writeBatch(database: Database, batch: Batch): Promise<WriteOutcome> {
  try {
    return await attempt(database, batch, copyAll);
  } catch (error) {
    if (databaseErrorKind(error) !== "refused") throw error;
  }
  return attempt(database, batch, copyAcceptable);
}

/** Copies rows within a transaction, and returns the dead letters of those that were refused. */
type Copy = <Row extends { source: Source }>(
  transaction: Transaction,
  table: string,
  columns: readonly CopyColumn<Row>[],
  rows: readonly Row[],
  batch: Batch,
) => Promise<DeadLetter[]>;

class Fenced extends Error {}

async function attempt(database: Database, batch: Batch, copy: Copy): Promise<WriteOutcome> {
  const { topic, partition, sourceId, startOffset, endOffset } = batch;
  try {
    return await database.begin(async (transaction) => {
      // Not the fence, only a look without a lock: a replayed batch should not be copied to be thrown away.
      const [current] = await transaction<{ believed: boolean }[]>`
        SELECT next_offset = ${startOffset} AND source_id = ${sourceId} AS believed
        FROM timespan.ingest_offsets
        WHERE topic = ${topic} AND partition = ${partition}`;
      if (!current?.believed) throw new Fenced();

      const spans = sortRows(
        batch.spans,
        ({ span }) => span.serviceName,
        ({ span }) => span.startTimeUs,
      );
      const logs = sortRows(
        batch.logs,
        ({ log }) => log.serviceName,
        ({ log }) => log.timeUs,
      );
      const lateSpans = spans.filter(({ span }) => span.startTimeUs < batch.lateBeforeUs);
      const lateLogs = logs.filter(({ log }) => log.timeUs < batch.lateBeforeUs);
      const timelySpans = spans.filter(({ span }) => span.startTimeUs >= batch.lateBeforeUs);
      const timelyLogs = logs.filter(({ log }) => log.timeUs >= batch.lateBeforeUs);
      const refused = [
        ...(await copy(transaction, "timespan.spans", spanColumns(sourceId), timelySpans, batch)),
        ...(await copy(transaction, "timespan.log_records", logRecordColumns(sourceId), timelyLogs, batch)),
        ...(await copy(transaction, "timespan.late_spans", spanColumns(sourceId), lateSpans, batch)),
        ...(await copy(
          transaction,
          "timespan.late_log_records",
          logRecordColumns(sourceId),
          lateLogs,
          batch,
        )),
      ];
      await copyRows(
        transaction,
        "timespan.trace_locator",
        traceLocatorColumns,
        locateTraces(batch.spans, batch.logs),
      );
      const deadLetters = [...batch.deadLetters, ...refused];
      await copyRows(transaction, "timespan.dead_letters", deadLetterColumns(topic, partition), deadLetters);
      await insertResources(transaction, spans, logs);
      await insertLogPatterns(transaction, logs);

      const rowCount = spans.length + logs.length - refused.length;
      const moved = await transaction`
        UPDATE timespan.ingest_offsets
        SET next_offset = ${endOffset},
            high_watermark = GREATEST(high_watermark, ${endOffset}),
            behind_since = CASE WHEN high_watermark > ${endOffset} THEN behind_since END,
            row_count = row_count + ${rowCount},
            dead_letter_count = dead_letter_count + ${deadLetters.length},
            written_at = now()
        WHERE topic = ${topic} AND partition = ${partition}
          AND next_offset = ${startOffset} AND source_id = ${sourceId}`;
      if (moved.count !== 1) throw new Fenced();
      const lateRowCount = lateSpans.length + lateLogs.length;
      return { outcome: "written", rowCount, lateRowCount, deadLetters } as const;
    });
  } catch (error) {
    if (error instanceof Fenced) return { outcome: "fenced" };
    throw error;
  }
}

/**
 * One service's rows stand together, oldest first: few pages of the index are touched, and chunks compress better.
 * Grouped before they are sorted, so that only numbers are compared for each pair of rows.
 */
function sortRows<Row>(
  rows: readonly Row[],
  serviceName: (row: Row) => string,
  timeUs: (row: Row) => number,
): Row[] {
  const byService = Map.groupBy(rows, serviceName);
  return [...byService.keys()]
    .sort()
    .flatMap((service) => byService.get(service)?.sort((a, b) => timeUs(a) - timeUs(b)) ?? []);
}

const copyAll: Copy = async (transaction, table, columns, rows) => {
  await copyRows(transaction, table, columns, rows);
  return [];
};

/** Halves the rows around each one that is refused, under savepoints, until every other row is in. */
const copyAcceptable: Copy = async (transaction, table, columns, rows, batch) => {
  try {
    await transaction.savepoint((savepoint) => copyRows(savepoint, table, columns, rows));
    return [];
  } catch (error) {
    if (databaseErrorKind(error) !== "refused") throw error;
    const [row] = rows;
    if (row !== undefined && rows.length === 1) return [refusedRow(row, error, batch)];
  }
  const middle = rows.length >> 1;
  return [
    ...(await copyAcceptable(transaction, table, columns, rows.slice(0, middle), batch)),
    ...(await copyAcceptable(transaction, table, columns, rows.slice(middle), batch)),
  ];
};

function refusedRow(row: { source: Source }, error: unknown, batch: Batch): DeadLetter {
  const message = error instanceof Error ? error.message : String(error);
  const { rejection } = reject("refused_by_database", `${sqlState(error) ?? "error"}: ${message}`);
  return batch.deadLetter(rejection, row.source);
}

async function insertResources(
  transaction: Transaction,
  spans: readonly SpanRow[],
  logs: readonly LogRow[],
): Promise<void> {
  // By identity first: rows of one resource share the object, and comparing references costs nothing.
  const distinct = new Set<Resource>();
  for (const { span } of spans) distinct.add(span.resource);
  for (const { log } of logs) distinct.add(log.resource);
  const resources = new Map([...distinct].map((resource) => [resource.resourceId, resource]));
  if (resources.size === 0) return;
  // Sorted, so that two writers wait for each other in one direction only.
  const sorted = [...resources.values()].sort((a, b) => (a.resourceId < b.resourceId ? -1 : 1));
  await transaction`
    INSERT INTO timespan.resources (resource_id, attributes)
    SELECT ('x' || resource_id)::bit(64)::bigint, attributes::jsonb
    FROM unnest(
      ${sorted.map(({ resourceId }) => resourceId)}::text[],
      ${sorted.map(({ attributesJson }) => attributesJson)}::text[]
    ) AS given (resource_id, attributes)
    ON CONFLICT (resource_id) DO NOTHING`;
}

async function insertLogPatterns(transaction: Transaction, logs: readonly LogRow[]): Promise<void> {
  const distinct = new Set<LogPattern>();
  for (const { log } of logs) distinct.add(log.pattern);
  const patterns = new Map([...distinct].map((pattern) => [pattern.patternId, pattern]));
  if (patterns.size === 0) return;
  // Sorted, so that two writers wait for each other in one direction only.
  const sorted = [...patterns.values()].sort((a, b) => (a.patternId < b.patternId ? -1 : 1));
  await transaction`
    INSERT INTO timespan.log_patterns AS known (pattern_id, pattern)
    SELECT ('x' || pattern_id)::bit(64)::bigint, pattern
    FROM unnest(
      ${sorted.map(({ patternId }) => patternId)}::text[],
      ${sorted.map(({ pattern }) => pattern)}::text[]
    ) AS given (pattern_id, pattern)
    ON CONFLICT (pattern_id) DO UPDATE SET last_seen = now()
    WHERE known.last_seen < now() - INTERVAL '1 day'`;
}
