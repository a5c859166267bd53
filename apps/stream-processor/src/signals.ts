import type { SignalTopic, StreamProcessorConfig } from "./config.ts";
import { decodeOtlpLogRecord, decodeOtlpSpanRecord } from "./decode-otlp-record.ts";
import { type DecodeRecord, decodeLogRecord, decodeSpanRecord } from "./decode-record.ts";

/** How a topic's records are decoded, and how old their events may be. */
export interface TopicDecoder {
  decode: DecodeRecord;
  retentionMs: number;
}

/** The decoder of each topic that carries one of `signals`. */
export function decodersByTopic(
  { topics, limits }: Pick<StreamProcessorConfig, "topics" | "limits">,
  signals: readonly SignalTopic[],
): Map<string, TopicDecoder> {
  const decoders: Record<SignalTopic, TopicDecoder> = {
    spans: { decode: decodeSpanRecord, retentionMs: limits.retentionSpansMs },
    logs: { decode: decodeLogRecord, retentionMs: limits.retentionLogsMs },
    otlpSpans: { decode: decodeOtlpSpanRecord, retentionMs: limits.retentionSpansMs },
    otlpLogs: { decode: decodeOtlpLogRecord, retentionMs: limits.retentionLogsMs },
  };
  return new Map(signals.map((signal) => [topics[signal], decoders[signal]]));
}
