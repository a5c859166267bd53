import { Counter, Gauge, Histogram, type Registry } from "@timespan/runtime/metrics";

/** What the ingest loop counts. Every limit that can be hit has a number here. */
export function createIngestMetrics(registry: Registry) {
  const registers = [registry];
  return {
    rows: new Counter({
      name: "timespan_ingest_rows_total",
      help: "Rows stored.",
      labelNames: ["topic"],
      registers,
    }),
    lateRows: new Counter({
      name: "timespan_ingest_late_rows_total",
      help: "Rows that came late and were staged, to be moved chunk by chunk.",
      labelNames: ["topic"],
      registers,
    }),
    deadLetters: new Counter({
      name: "timespan_ingest_dead_letters_total",
      help: "Events that became dead letters.",
      labelNames: ["topic", "reason"],
      registers,
    }),
    batches: new Counter({
      name: "timespan_ingest_batches_total",
      help: "Batches written, by why they were closed.",
      labelNames: ["closed_by"],
      registers,
    }),
    writeSeconds: new Histogram({
      name: "timespan_ingest_write_seconds",
      help: "Time to write a batch durably, with its retries.",
      buckets: [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
      registers,
    }),
    writeRetries: new Counter({
      name: "timespan_ingest_write_retries_total",
      help: "Tries to write a batch that failed and were repeated, by SQLSTATE.",
      labelNames: ["code"],
      registers,
    }),
    rebalances: new Counter({
      name: "timespan_ingest_rebalances_total",
      help: "Times that partitions were handed out to a worker.",
      registers,
    }),
    fenced: new Counter({
      name: "timespan_ingest_fenced_total",
      help: "Batches refused because the store was not where they begin.",
      registers,
    }),
    skippedOffsets: new Counter({
      name: "timespan_ingest_skipped_offsets_total",
      help: "Offsets that Kafka no longer held when they were to be read.",
      labelNames: ["topic"],
      registers,
    }),
    forwardedErrors: new Counter({
      name: "timespan_ingest_forwarded_errors_total",
      help: "ERROR logs handed to the live channel.",
      registers,
    }),
    bufferedBytes: new Gauge({
      name: "timespan_ingest_buffered_bytes",
      help: "Bytes of events that wait to be written.",
      registers,
    }),
    pausedPartitions: new Gauge({
      name: "timespan_ingest_paused_partitions",
      help: "Partitions that are not read because too much waits to be written.",
      registers,
    }),
    lag: new Gauge({
      name: "timespan_ingest_lag_records",
      help: "Records of a partition that are not yet stored.",
      labelNames: ["topic", "partition"],
      registers,
    }),
  };
}

export type IngestMetrics = ReturnType<typeof createIngestMetrics>;
