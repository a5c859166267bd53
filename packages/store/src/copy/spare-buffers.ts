/**
 * Buffers of batches that are written, for those that come next: memory fresh from the system costs a page fault each
 * 4 KiB, and giving it back again costs as much. What one thread keeps is bounded by {@link SPARE_BYTES_MAX}.
 */
const spares: Buffer[] = [];
let spareBytes = 0;

/** About what the batches of a busy worker hold between them; beyond it buffers are left to the garbage collector. */
const SPARE_BYTES_MAX = 16 * 1024 * 1024;
const BUFFER_BYTES_MIN = 64 * 1024;

/** A buffer of at least `bytes`, with anything in it. */
export function takeBuffer(bytes: number): Buffer {
  const found = spares.findIndex(({ byteLength }) => byteLength >= bytes);
  const [spare] = found === -1 ? [] : spares.splice(found, 1);
  if (spare === undefined) return Buffer.allocUnsafeSlow(Math.max(bytes, BUFFER_BYTES_MIN));
  spareBytes -= spare.byteLength;
  return spare;
}

/** Gives back a buffer that nobody will look at any more. */
export function giveBuffer(buffer: Buffer): void {
  if (buffer.byteLength < BUFFER_BYTES_MIN || spareBytes + buffer.byteLength > SPARE_BYTES_MAX) return;
  spares.push(buffer);
  spareBytes += buffer.byteLength;
}
