import { once } from "node:events";
import { finished } from "node:stream/promises";
import type { Transaction } from "../database.ts";
import { type CopyColumn, encodeRows } from "./copy-encoder.ts";

/** Bytes handed to the socket at once: large enough that the number of writes does not matter. */
const CHUNK_BYTES = 256 * 1024;

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
  if (rows.length > 0) await copyBytes(transaction, table, columns, encodeRows(columns, rows));
}

/** As {@link copyRows}, of rows that `encodeRows` has encoded. */
export async function copyBytes(
  transaction: Transaction,
  table: string,
  columns: readonly { name: string }[],
  bytes: Buffer,
): Promise<void> {
  const names = columns.map(({ name }) => name);
  const stream = await transaction`
    COPY ${transaction(table)} (${transaction(names)}) FROM STDIN (FORMAT binary)`.writable();
  const done = finished(stream);
  // Awaited below; a server that refuses early must not become an unhandled rejection while we still write.
  done.catch(() => {});
  for (let start = 0; start < bytes.byteLength; start += CHUNK_BYTES) {
    if (!stream.write(bytes.subarray(start, start + CHUNK_BYTES))) {
      await Promise.race([once(stream, "drain"), done]);
    }
  }
  stream.end();
  await done;
}
