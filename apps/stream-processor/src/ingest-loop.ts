import type { ConsumerEvent, RecordConsumer, RecordsEvent, TopicPartition } from "@timespan/broker/consumer";
import { createBackoff } from "@timespan/runtime/backoff";
import type { Clock } from "@timespan/runtime/clock";
import type { Logger } from "@timespan/runtime/logger";
import type { Database } from "@timespan/store/database";
import { databaseErrorKind, sqlState } from "@timespan/store/database-error";
import type { LogRow } from "@timespan/store/ingest/batch";
import { observePartitions } from "@timespan/store/ingest/observe-partitions";
import { type OpenedPartition, openPartition } from "@timespan/store/ingest/open-partition";
import { type WriteOutcome, writeBatch } from "@timespan/store/ingest/write-batch";
import type { Guards } from "@timespan/telemetry/guards";
import { acceptedTimes } from "@timespan/telemetry/time-window";
import { encodeErrorEvent, errorEventId } from "@timespan/telemetry/wire/error-event";
import type { ErrorForwarder } from "./error-forwarder.ts";
import type { IngestMetrics } from "./ingest-metrics.ts";
import { type CloseReason, OpenBatch } from "./open-batch.ts";
import type { TopicDecoder } from "./signals.ts";
import type { ThroughputLog } from "./throughput-log.ts";

export interface IngestLimits {
  batchRowsMax: number;
  batchBytesMax: number;
  batchAgeMsMax: number;
  parallelWritesMax: number;
  /** Beyond it every partition pauses until half of it is written. */
  bufferedBytesMax: number;
  retentionSpansMs: number;
  retentionLogsMs: number;
  /** Rows older than this are staged and moved later. */
  lateAfterMs: number;
}

export interface IngestLoopParts {
  consumer: RecordConsumer;
  database: Database;
  forwarder: ErrorForwarder;
  /** How each topic's records are decoded, and how old they may be. */
  topics: ReadonlyMap<string, TopicDecoder>;
  /** Makes room where a row had no partition to go to. */
  maintainStorage(): Promise<void>;
  limits: IngestLimits;
  clock: Clock;
  logger: Logger;
  metrics: IngestMetrics;
  throughput: ThroughputLog;
  guards: Guards;
  /** An error that repeating cannot mend: the process should end, with nothing acknowledged. */
  onFatal(error: unknown): void;
}

/**
 * A partition that this process reads. `opening`: asking the store where to begin. `reading`: records are taken.
 * `abandoned`: given up, whatever of it is still being written; a new lane may have taken its place.
 */
interface Lane extends TopicPartition {
  state: "opening" | "reading" | "abandoned";
  sourceId: number;
  /** The next offset to take from Kafka. */
  position: number;
  highWatermark: number;
  /** Times in a row that Kafka gave records from beyond `position`. */
  gapCount: number;
  paused: boolean;
  open: OpenBatch | undefined;
  /** Closed batches in order; the first is being written while `writing` is set. */
  closed: OpenBatch[];
  writing: boolean;
}

/** A closed batch that waits makes its partition pause, so at most one fetch more comes in. */
const CLOSED_BATCHES_MAX = 1;
/** Kafka is asked this often for an offset before its absence is believed. */
const GAP_SEEKS_MAX = 3;
const OBSERVE_INTERVAL_MS = 5_000;
const RETRY_MS = { initialMs: 100, maxMs: 10_000 };
/** A failed write is worth a line in the log once in this many tries. */
const LOG_EVERY_RETRY = 10;

/**
 * Kafka records to durable rows, each once.
 *
 * All state changes in `handle` and the other synchronous methods; callbacks only report. What is asynchronous
 * (asking the store, forwarding, writing) works on a lane or batch of its own and reports back when it is done.
 *
 * Where reading begins is what the store says, never what Kafka remembers of the group. Every batch names the offset
 * that it believes the store to be at; if that is not so the store refuses it, and the lane is opened anew.
 */
export class IngestLoop {
  readonly #parts: IngestLoopParts;
  readonly #lanes = new Map<string, Lane>();
  readonly #stopped = new AbortController();
  readonly #stopTimers: (() => void)[] = [];
  #joined = false;
  #draining = false;
  #activeWrites = 0;
  #bufferedBytes = 0;
  #lastStoreError: string | undefined;
  #drained = Promise.withResolvers<void>();

  constructor(parts: IngestLoopParts) {
    this.#parts = parts;
  }

  /** Joins the consumer group. Returns once joined to the group's protocol; partitions come as events. */
  async start(): Promise<void> {
    const { clock, limits, consumer } = this.#parts;
    this.#stopTimers.push(clock.every(Math.max(10, limits.batchAgeMsMax / 4), () => this.#closeAged()));
    this.#stopTimers.push(clock.every(OBSERVE_INTERVAL_MS, () => void this.#observe()));
    await consumer.start((event) => this.handle(event));
  }

  /**
   * Writes what was read, for at most `timeoutMs`, and leaves the group. What is not written by then is read again by
   * whoever comes next.
   */
  async stop(timeoutMs: number): Promise<void> {
    this.#draining = true;
    for (const stop of this.#stopTimers) stop();
    for (const lane of this.#lanes.values()) {
      this.#pause(lane);
      this.#close(lane, "shutdown");
    }
    this.#pump();
    this.#resolveIfDrained();
    await Promise.race([this.#drained.promise, this.#parts.clock.sleep(timeoutMs, this.#stopped.signal)]);
    this.#stopped.abort();
    this.#parts.forwarder.stop();
    await this.#parts.consumer.stop();
  }

  /** Why the loop does not take and store records right now; empty when it does. */
  notReady(): string[] {
    const reasons: string[] = [];
    if (!this.#joined) reasons.push("not yet a member of the consumer group");
    const opening = [...this.#lanes.values()].filter((lane) => lane.state === "opening");
    if (opening.length > 0) reasons.push(`${opening.length} partition(s) wait for their stored offset`);
    if (this.#lastStoreError !== undefined)
      reasons.push(`the store does not take batches: ${this.#lastStoreError}`);
    return reasons;
  }

  /** The one place where what the consumer reports changes state. */
  handle(event: ConsumerEvent): void {
    try {
      this.#handle(event);
    } catch (error) {
      // Thrown into kafkajs it would look like a failing broker, and be repeated forever.
      this.#fail(error);
    }
  }

  #handle(event: ConsumerEvent): void {
    switch (event.kind) {
      case "assigned":
        this.#assign(event.partitions);
        break;
      case "records":
        this.#take(event);
        break;
      case "revoking":
        for (const lane of this.#lanes.values()) this.#close(lane, "revoke");
        this.#pump();
        break;
      case "crashed":
        this.#joined = false;
        this.#parts.logger.error(
          { err: event.error, restarting: event.restarting },
          "the Kafka consumer crashed",
        );
        if (!event.restarting) this.#fail(event.error);
        break;
    }
  }

  /** A new assignment begins from the store: whatever was read before and not yet written is read again. */
  #assign(partitions: readonly TopicPartition[]): void {
    this.#joined = true;
    for (const lane of this.#lanes.values()) this.#abandon(lane);
    this.#lanes.clear();
    this.#parts.metrics.lag.reset();
    this.#parts.metrics.rebalances.inc();
    this.#parts.logger.info({ partitions: partitions.map(laneKey) }, "partitions assigned");
    for (const target of partitions) this.#open(target);
  }

  #open({ topic, partition }: TopicPartition): void {
    const lane: Lane = {
      topic,
      partition,
      state: "opening",
      sourceId: 0,
      position: 0,
      highWatermark: 0,
      gapCount: 0,
      paused: true,
      open: undefined,
      closed: [],
      writing: false,
    };
    this.#lanes.set(laneKey(lane), lane);
    void this.#askWhereToBegin(lane);
  }

  #abandon(lane: Lane): void {
    lane.state = "abandoned";
    // Their memory is left to the garbage collector: one of them may be in the middle of being written.
    for (const batch of lane.closed) this.#forget(batch);
    if (lane.open !== undefined) this.#forget(lane.open);
    lane.closed = [];
    lane.open = undefined;
  }

  async #askWhereToBegin(lane: Lane): Promise<void> {
    const { consumer, database, clock, logger } = this.#parts;
    const backoff = createBackoff(RETRY_MS);
    while (lane.state === "opening" && !this.#stopped.signal.aborted) {
      try {
        const range = (await consumer.ranges(lane.topic)).get(lane.partition);
        if (range === undefined) throw new Error(`Kafka does not know ${laneKey(lane)}`);
        const opened = await openPartition(database, lane.topic, lane.partition, range);
        if (lane.state === "opening") this.#begin(lane, opened, range.high);
        return;
      } catch (err) {
        const delayMs = backoff.nextMs();
        logger.warn(
          { err, partition: laneKey(lane), delay_ms: delayMs },
          "stored offset not to be had, trying again",
        );
        await clock.sleep(delayMs, this.#stopped.signal);
      }
    }
  }

  #begin(lane: Lane, opened: OpenedPartition, highWatermark: number): void {
    const { consumer, logger, metrics } = this.#parts;
    if (opened.how === "skipped") {
      const count = opened.nextOffset - opened.previousOffset;
      metrics.skippedOffsets.inc({ topic: lane.topic }, count);
      logger.error(
        { partition: laneKey(lane), count, ...opened },
        "Kafka dropped records before they were read",
      );
    } else if (opened.how === "recreated") {
      logger.warn(
        { partition: laneKey(lane), ...opened },
        "the topic was made anew: reading from its beginning",
      );
    }
    lane.state = "reading";
    lane.sourceId = opened.sourceId;
    lane.position = opened.nextOffset;
    lane.highWatermark = highWatermark;
    consumer.seek(lane, lane.position);
    this.#resumeWhereRoom();
  }

  #take(event: RecordsEvent): void {
    const lane = this.#lanes.get(laneKey(event));
    if (lane?.state !== "reading" || this.#draining) return;
    if (event.nextOffset <= lane.position) return; // seen before
    if (event.fetchedOffset > lane.position && !this.#acceptGap(lane, event)) return;
    lane.gapCount = 0;

    const topic = this.#topicOf(lane);
    const accepted = acceptedTimes(this.#parts.clock.nowMs(), topic.retentionMs);
    for (const record of event.records) {
      if (record.offset < lane.position) continue;
      const batch = this.#openBatch(lane);
      const heldBefore = batch.heldBytes;
      const errors = topic.decode(record, batch, accepted, this.#parts.guards);
      batch.cover(record);
      this.#bufferedBytes += batch.heldBytes - heldBefore;
      if (errors.length > 0) this.#forward(batch, errors);
      lane.position = batch.endOffset;
      if (batch.rowCount >= this.#parts.limits.batchRowsMax) this.#close(lane, "rows");
      else if (batch.recordBytes >= this.#parts.limits.batchBytesMax) this.#close(lane, "bytes");
    }
    // Offsets without a record (control records, compaction) are covered too, or they would be asked for forever.
    if (event.nextOffset > lane.position) {
      this.#openBatch(lane).endOffset = event.nextOffset;
      lane.position = event.nextOffset;
    }
    this.#pump();
    this.#pauseWhereFull(lane);
  }

  /**
   * Records from beyond the position: either the position was not yet sought, or Kafka no longer has what is between.
   * It is asked again a few times before that is believed.
   */
  #acceptGap(lane: Lane, event: RecordsEvent): boolean {
    const { consumer, logger, metrics } = this.#parts;
    lane.gapCount++;
    if (lane.gapCount <= GAP_SEEKS_MAX) {
      consumer.seek(lane, lane.position);
      return false;
    }
    const count = event.fetchedOffset - lane.position;
    metrics.skippedOffsets.inc({ topic: lane.topic }, count);
    logger.warn(
      { partition: laneKey(lane), from: lane.position, to: event.fetchedOffset },
      "Kafka has no records here",
    );
    return true;
  }

  #topicOf({ topic }: TopicPartition): TopicDecoder {
    const decoder = this.#parts.topics.get(topic);
    if (decoder === undefined) throw new Error(`no decoder for topic ${topic}`);
    return decoder;
  }

  #openBatch(lane: Lane): OpenBatch {
    if (lane.open === undefined) {
      const nowMs = this.#parts.clock.nowMs();
      const lateBeforeUs = (nowMs - this.#parts.limits.lateAfterMs) * 1_000;
      lane.open = new OpenBatch({
        topic: lane.topic,
        partition: lane.partition,
        sourceId: lane.sourceId,
        startOffset: lane.position,
        lateBeforeUs,
        openedAtMs: nowMs,
        guards: this.#parts.guards,
        itemAt: this.#topicOf(lane).itemAt,
      });
    }
    return lane.open;
  }

  /** Errors go to the live channel at once; the batch is written only after Kafka has them. */
  #forward(batch: OpenBatch, errors: readonly LogRow[]): void {
    const values = errors.map(({ log, source }) =>
      encodeErrorEvent(log, errorEventId(batch.sourceId, source.offset, source.index)),
    );
    const forwarded = this.#parts.forwarder
      .forward(batch.sourceId, values)
      .then(() => this.#parts.metrics.forwardedErrors.inc(values.length));
    forwarded.catch(() => {}); // looked at when the batch is written
    batch.forwards.push(forwarded);
  }

  #closeAged(): void {
    const oldest = this.#parts.clock.nowMs() - this.#parts.limits.batchAgeMsMax;
    for (const lane of this.#lanes.values()) {
      if (lane.open !== undefined && lane.open.openedAtMs <= oldest) this.#close(lane, "age");
    }
    this.#pump();
  }

  #close(lane: Lane, reason: CloseReason): void {
    if (lane.open === undefined) return;
    lane.open.closedBy = reason;
    lane.closed.push(lane.open);
    lane.open = undefined;
  }

  /** Starts writes while there is room, the batch that waits longest first; one at a time for a partition. */
  #pump(): void {
    while (!this.#stopped.signal.aborted && this.#activeWrites < this.#parts.limits.parallelWritesMax) {
      let next: { lane: Lane; batch: OpenBatch } | undefined;
      for (const lane of this.#lanes.values()) {
        const [batch] = lane.closed;
        if (batch === undefined || lane.writing) continue;
        if (next === undefined || batch.openedAtMs < next.batch.openedAtMs) next = { lane, batch };
      }
      if (next === undefined) break;
      this.#activeWrites++;
      next.lane.writing = true;
      void this.#write(next.lane, next.batch);
    }
    this.#parts.metrics.bufferedBytes.set(this.#bufferedBytes);
  }

  async #write(lane: Lane, batch: OpenBatch): Promise<void> {
    const startedMs = this.#parts.clock.nowMs();
    let outcome: WriteOutcome | undefined;
    try {
      await Promise.all(batch.forwards);
      outcome = await this.#writeUntilDone(lane, batch);
    } catch (error) {
      this.#fail(error);
    }
    this.#activeWrites--;
    lane.writing = false;
    if (outcome !== undefined) this.#written(lane, batch, outcome, this.#parts.clock.nowMs() - startedMs);
    this.#pump();
    this.#resumeWhereRoom();
    this.#resolveIfDrained();
  }

  /** Repeats until the store answers, or nobody waits for the answer any more. */
  async #writeUntilDone(lane: Lane, batch: OpenBatch): Promise<WriteOutcome | undefined> {
    const { database, clock, logger, metrics } = this.#parts;
    const backoff = createBackoff(RETRY_MS);
    for (let tries = 0; lane.state !== "abandoned" && !this.#stopped.signal.aborted; tries++) {
      try {
        const outcome = await writeBatch(database, batch);
        this.#lastStoreError = undefined;
        return outcome;
      } catch (err) {
        const kind = databaseErrorKind(err);
        // Refused rows are dealt with by writeBatch; what is still refused is a batch that can never be written.
        if (kind === "unknown" || kind === "refused") throw err;
        const code = sqlState(err) ?? kind;
        const delayMs = backoff.nextMs();
        this.#lastStoreError = `${code}: ${err instanceof Error ? err.message : String(err)}`;
        metrics.writeRetries.inc({ code });
        if (tries % LOG_EVERY_RETRY === 0) {
          logger.warn(
            { err, partition: laneKey(lane), tries, delay_ms: delayMs },
            "batch not written, trying again",
          );
        }
        if (kind === "missing_partition") await this.#parts.maintainStorage().catch(() => {});
        await clock.sleep(delayMs, this.#stopped.signal);
      }
    }
    return undefined;
  }

  #written(lane: Lane, batch: OpenBatch, outcome: WriteOutcome, durationMs: number): void {
    const { consumer, logger, metrics } = this.#parts;
    if (outcome.outcome === "fenced") {
      metrics.fenced.inc();
      if (lane.state === "abandoned") return;
      logger.warn(
        { partition: laneKey(lane), start_offset: batch.startOffset },
        "batch fenced: asking the store anew",
      );
      this.#abandon(lane);
      consumer.pause([lane]);
      this.#open(lane);
      return;
    }
    metrics.rows.inc({ topic: batch.topic }, outcome.rowCount);
    if (outcome.lateRowCount > 0) metrics.lateRows.inc({ topic: batch.topic }, outcome.lateRowCount);
    for (const { rejection } of outcome.deadLetters) {
      metrics.deadLetters.inc({ topic: batch.topic, reason: rejection.reason });
    }
    this.#parts.throughput.stored(batch.endOffset - batch.startOffset);
    metrics.batches.inc({ closed_by: batch.closedBy ?? "age" });
    metrics.writeSeconds.observe(durationMs / 1_000);
    logger.debug(
      {
        partition: laneKey(lane),
        start_offset: batch.startOffset,
        end_offset: batch.endOffset,
        rows: outcome.rowCount,
        dead_letters: outcome.deadLetters.length,
        closed_by: batch.closedBy,
        duration_ms: durationMs,
      },
      "batch written",
    );
    if (lane.state === "abandoned") return;
    lane.closed.shift();
    this.#forget(batch);
    batch.release();
    // Only for Kafka's lag tools: a failure changes nothing, and a lost group tells itself by a new assignment.
    consumer.commit(lane, batch.endOffset).catch((err) => {
      logger.debug({ err, partition: laneKey(lane) }, "offset not committed to Kafka");
    });
  }

  /** Stops writing at once, with nothing more acknowledged, and tells the owner of the process. */
  #fail(error: unknown): void {
    if (this.#stopped.signal.aborted) return;
    this.#stopped.abort();
    this.#parts.onFatal(error);
  }

  #forget(batch: OpenBatch): void {
    this.#bufferedBytes -= batch.heldBytes;
  }

  #pause(lane: Lane): void {
    if (lane.paused) return;
    lane.paused = true;
    this.#parts.consumer.pause([lane]);
    this.#countPaused();
  }

  #pauseWhereFull(lane: Lane): void {
    if (lane.closed.length > CLOSED_BATCHES_MAX) this.#pause(lane);
    if (this.#bufferedBytes > this.#parts.limits.bufferedBytesMax) {
      for (const each of this.#lanes.values()) {
        // What waits in open batches must be written too, or nothing would ever make room.
        this.#close(each, "bytes");
        this.#pause(each);
      }
      this.#pump();
    }
  }

  #resumeWhereRoom(): void {
    if (this.#draining || this.#bufferedBytes > this.#parts.limits.bufferedBytesMax / 2) return;
    for (const lane of this.#lanes.values()) {
      if (lane.state !== "reading" || !lane.paused || lane.closed.length > CLOSED_BATCHES_MAX) continue;
      lane.paused = false;
      this.#parts.consumer.resume([lane]);
    }
    this.#countPaused();
  }

  #countPaused(): void {
    const paused = [...this.#lanes.values()].filter((lane) => lane.state === "reading" && lane.paused);
    this.#parts.metrics.pausedPartitions.set(paused.length);
  }

  #resolveIfDrained(): void {
    if (!this.#draining) return;
    const waiting = [...this.#lanes.values()].some((lane) => lane.writing || lane.closed.length > 0);
    if (!waiting) this.#drained.resolve();
  }

  /** Notes the ends of the partitions in the store, where the query API and people look for lag. */
  async #observe(): Promise<void> {
    const { consumer, database, logger, metrics } = this.#parts;
    const lanes = [...this.#lanes.values()].filter((lane) => lane.state === "reading");
    try {
      for (const topic of new Set(lanes.map((lane) => lane.topic))) {
        const ranges = await consumer.ranges(topic);
        for (const lane of lanes) {
          const range = lane.topic === topic ? ranges.get(lane.partition) : undefined;
          if (range === undefined) continue;
          lane.highWatermark = range.high;
          const [unwritten] = [...lane.closed, lane.open];
          const stored = unwritten?.startOffset ?? lane.position;
          metrics.lag.set({ topic, partition: String(lane.partition) }, Math.max(0, range.high - stored));
        }
      }
      await observePartitions(database, lanes);
    } catch (err) {
      logger.debug({ err }, "ends of partitions not noted");
    }
  }
}

function laneKey({ topic, partition }: TopicPartition): string {
  return `${topic}/${partition}`;
}
