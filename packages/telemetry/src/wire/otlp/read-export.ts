import { type Decoded, type RejectionReason, reject } from "../../rejection.ts";
import type { ExportRequest, OtlpLogRecord, OtlpSpan } from "./export-request.ts";
import { OTLP_ITEMS_MAX, OTLP_MESSAGE_BYTES_MAX, TooManyItems } from "./limits.ts";
import { NoExportRequest, readLogsJson, readTraceJson } from "./read-json.ts";
import { readLogsProtobuf, readTraceProtobuf } from "./read-protobuf.ts";

/** Reads an export request of spans in either encoding. */
export function readTraceExport(bytes: Uint8Array | null): Decoded<ExportRequest<OtlpSpan>> {
  return readExport(bytes, readTraceProtobuf, readTraceJson);
}

/** Reads an export request of log records in either encoding. */
export function readLogsExport(bytes: Uint8Array | null): Decoded<ExportRequest<OtlpLogRecord>> {
  return readExport(bytes, readLogsProtobuf, readLogsJson);
}

type Read<Item> = (bytes: Buffer) => ExportRequest<Item>;

function readExport<Item>(
  bytes: Uint8Array | null,
  readProtobuf: Read<Item>,
  readJson: Read<Item>,
): Decoded<ExportRequest<Item>> {
  if (bytes === null || bytes.byteLength === 0)
    return reject("malformed_protobuf", "the record has no value");
  if (bytes.byteLength > OTLP_MESSAGE_BYTES_MAX) {
    return reject("event_too_large", `${bytes.byteLength} bytes; the limit is ${OTLP_MESSAGE_BYTES_MAX}`);
  }
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const json = isJson(buffer);
  try {
    return { ok: true, value: json ? readJson(buffer) : readProtobuf(buffer) };
  } catch (error) {
    if (error instanceof TooManyItems) {
      return reject("event_too_large", `more than ${OTLP_ITEMS_MAX} spans, events, links or log records`);
    }
    const reason: RejectionReason =
      error instanceof NoExportRequest ? "invalid_event" : json ? "malformed_json" : "malformed_protobuf";
    return reject(reason, error instanceof Error ? error.message : "not readable");
  }
}

/**
 * `{`, or blanks before it. A line break does not count: it is the byte that every request in protobuf begins with.
 */
function isJson(bytes: Buffer): boolean {
  const first = bytes[0];
  return first === 0x7b || first === 0x20 || first === 0x09 || first === 0x0d;
}
