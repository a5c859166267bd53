import type { LogPattern } from "@timespan/telemetry/log-pattern";
import { reject } from "@timespan/telemetry/rejection";
import type { Resource } from "@timespan/telemetry/resource";
import { copyEncodedRows, copyRows } from "../copy/copy-rows.ts";
import type { Database, Transaction } from "../database.ts";
import { databaseErrorKind, sqlState } from "../database-error.ts";
import { traceLocatorColumns } from "../traces/trace-locator-columns.ts";
import type { Batch, DeadLetter, Source } from "./batch.ts";
import type { BatchRows } from "./batch-rows.ts";
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
  rows: BatchRows<Row>,
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

      const refused = [
        ...(await copy(transaction, batch.spans, batch)),
        ...(await copy(transaction, batch.logs, batch)),
        ...(await copy(transaction, batch.lateSpans, batch)),
        ...(await copy(transaction, batch.lateLogs, batch)),
      ];
      await copyRows(transaction, "timespan.trace_locator", traceLocatorColumns, batch.traces.sorted());
      const deadLetters = [...batch.deadLetters, ...refused];
      await copyRows(transaction, "timespan.dead_letters", deadLetterColumns(topic, partition), deadLetters);
      await insertResources(transaction, batch.resources);
      await insertLogPatterns(transaction, batch.logPatterns);

      const rowCount = batch.rowCount - deadLetters.length;
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
      return { outcome: "written", rowCount, lateRowCount: batch.lateRowCount, deadLetters } as const;
    });
  } catch (error) {
    if (error instanceof Fenced) return { outcome: "fenced" };
    throw error;
  }
}

const copyAll: Copy = async (transaction, rows) => {
  await copyEncodedRows(transaction, rows.table, rows.encoded, rows.sorted());
  return [];
};

const copyAcceptable: Copy = (transaction, rows, batch) => halve(transaction, rows, rows.sorted(), batch);

/** Halves the rows around each one that is refused, under savepoints, until every other row is in. */
async function halve<Row extends { source: Source }>(
  transaction: Transaction,
  rows: BatchRows<Row>,
  positions: readonly number[],
  batch: Batch,
): Promise<DeadLetter[]> {
  try {
    await transaction.savepoint((savepoint) =>
      copyEncodedRows(savepoint, rows.table, rows.encoded, positions),
    );
    return [];
  } catch (error) {
    if (databaseErrorKind(error) !== "refused") throw error;
    const [position] = positions;
    if (position !== undefined && positions.length === 1) {
      return [refusedRow(rows.sourceOf(position), error, batch)];
    }
  }
  const middle = positions.length >> 1;
  return [
    ...(await halve(transaction, rows, positions.slice(0, middle), batch)),
    ...(await halve(transaction, rows, positions.slice(middle), batch)),
  ];
}

function refusedRow(source: Source, error: unknown, batch: Batch): DeadLetter {
  const message = error instanceof Error ? error.message : String(error);
  const { rejection } = reject("refused_by_database", `${sqlState(error) ?? "error"}: ${message}`);
  return batch.deadLetter(rejection, source);
}

async function insertResources(transaction: Transaction, distinct: ReadonlySet<Resource>): Promise<void> {
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

async function insertLogPatterns(transaction: Transaction, distinct: ReadonlySet<LogPattern>): Promise<void> {
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
