import { once } from "node:events";
import { finished } from "node:stream/promises";
import type { Transaction } from "../database.ts";
import type { CopyColumn } from "./copy-encoder.ts";
import { EncodedRows } from "./encoded-rows.ts";

/**
 * Copies `rows` into `table` as part of `transaction`. Returns when the server has taken them all.
 * @throws the server's error for the first row it refuses; the transaction is then aborted
 */
export async function copyRows<Row>(
  transaction: Transaction,
  table: string,
  columns: readonly CopyColumn<Row>[],
  rows: readonly Row[],
): Promise<void> {
  const encoded = new EncodedRows(columns);
  for (const row of rows) encoded.push(row);
  await copyEncodedRows(transaction, table, encoded, rows.keys().toArray());
  encoded.release();
}

/** As {@link copyRows}, of those among encoded rows that are at `indexes`, in that order. */
export async function copyEncodedRows<Row>(
  transaction: Transaction,
  table: string,
  rows: EncodedRows<Row>,
  indexes: readonly number[],
): Promise<void> {
  if (indexes.length > 0) await copyBytes(transaction, table, rows.columns, rows.chunks(indexes));
}

/** As {@link copyRows}, of bytes in COPY's binary format. */
export async function copyBytes(
  transaction: Transaction,
  table: string,
  columns: readonly { name: string }[],
  chunks: Iterable<Uint8Array>,
): Promise<void> {
  const names = columns.map(({ name }) => name);
  const stream = await transaction`
    COPY ${transaction(table)} (${transaction(names)}) FROM STDIN (FORMAT binary)`.writable();
  const done = finished(stream);
  // Awaited below; a server that refuses early must not become an unhandled rejection while we still write.
  done.catch(() => {});
  for (const chunk of chunks) {
    if (!stream.write(chunk)) await Promise.race([once(stream, "drain"), done]);
  }
  stream.end();
  await done;
}
