/**
 * A compressed batch of records may be this large once it is decompressed. Producers fill batches of about 1 MB before
 * they compress them; a batch of 8 KB can hold 32 MB of zeros, and every partition may bring one at once.
 */
export const DECOMPRESSED_BATCH_BYTES_MAX = 32 * 1024 * 1024;
/** Each record becomes an object of half a kilobyte, however small it is. */
export const COMPRESSED_BATCH_RECORDS_MAX = 250_000;

/** @throws {Error} where `bytes`, known or announced, are too many */
export function checkDecompressedBytes(bytes: number): void {
  if (bytes > DECOMPRESSED_BATCH_BYTES_MAX) throw new Error(DECOMPRESSED_TOO_LARGE);
}

export const DECOMPRESSED_TOO_LARGE = `more than ${DECOMPRESSED_BATCH_BYTES_MAX} bytes when decompressed`;
