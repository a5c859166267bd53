import { pickLogRecords, pickSpans } from "@timespan/telemetry/wire/otlp/pick-items";
import type { SignalTopic, StreamProcessorConfig } from "./config.ts";
import { decodeOtlpLogRecord, decodeOtlpSpanRecord } from "./decode-otlp-record.ts";
import { type DecodeRecord, decodeLogRecord, decodeSpanRecord } from "./decode-record.ts";
import type { ItemAt } from "./open-batch.ts";

/** How a topic's records are decoded, and how old their events may be. */
export interface TopicDecoder {
  decode: DecodeRecord;
  retentionMs: number;
  itemAt: ItemAt;
}

const wholeRecord: ItemAt = (value) => value;

/** The decoder of each topic that carries one of `signals`. */
export function decodersByTopic(
  { topics, limits }: Pick<StreamProcessorConfig, "topics" | "limits">,
  signals: readonly SignalTopic[],
): Map<string, TopicDecoder> {
  const decoders: Record<SignalTopic, TopicDecoder> = {
    spans: { decode: decodeSpanRecord, retentionMs: limits.retentionSpansMs, itemAt: wholeRecord },
    logs: { decode: decodeLogRecord, retentionMs: limits.retentionLogsMs, itemAt: wholeRecord },
    otlpSpans: {
      decode: decodeOtlpSpanRecord,
      retentionMs: limits.retentionSpansMs,
      itemAt: (value, index) => pickSpans(value, new Set([index])),
    },
    otlpLogs: {
      decode: decodeOtlpLogRecord,
      retentionMs: limits.retentionLogsMs,
      itemAt: (value, index) => pickLogRecords(value, new Set([index])),
    },
  };
  return new Map(signals.map((signal) => [topics[signal], decoders[signal]]));
}
