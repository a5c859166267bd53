/**
 * Trace and span ids as the contract writes them, in one canonical form inside: lower-case hex, 32 digits for a
 * trace and 16 for a span, as in W3C Trace Context.
 */

const HEX_32 = /^[0-9a-f]{32}$/;
const HEX_16 = /^[0-9a-f]{16}$/;
const ALL_ZERO = /^0+$/;
const NO_TRACE_ID = "0".repeat(32);
const NO_SPAN_ID = "0".repeat(16);

/**
 * Canonical trace id of `text`: 32 hex digits, or 16 that are padded with zeros on the left; dashes are dropped.
 * `undefined` where it is neither, or all zero, which W3C Trace Context declares invalid.
 */
export function parseTraceId(text: string): string | undefined {
  // Nearly every id is canonical already.
  if (HEX_32.test(text)) return text === NO_TRACE_ID ? undefined : text;
  let id = text.toLowerCase();
  if (id.includes("-")) id = id.replaceAll("-", "");
  if (id.length === 16) id = `0000000000000000${id}`;
  return HEX_32.test(id) && !ALL_ZERO.test(id) ? id : undefined;
}

/** Canonical span id of `text`: 16 hex digits, not all zero; otherwise `undefined`. */
export function parseSpanId(text: string): string | undefined {
  if (HEX_16.test(text)) return text === NO_SPAN_ID ? undefined : text;
  const id = text.toLowerCase();
  return HEX_16.test(id) && !ALL_ZERO.test(id) ? id : undefined;
}

/** Whether `text` says "there is no id": empty or all zero, as producers write the parent of a root span. */
export function isAbsentId(text: string): boolean {
  return text === "" || ALL_ZERO.test(text);
}
