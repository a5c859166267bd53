import { connectKafka } from "@timespan/broker/connect-kafka";
import { ensureTopics } from "@timespan/broker/ensure-topics";
import { createProducer, type RecordProducer } from "@timespan/broker/producer";
import { systemClock, withTimeout } from "@timespan/runtime/clock";
import type { Logger } from "@timespan/runtime/logger";
import type { LogEvent, SpanEvent } from "@timespan/testing/workload/events";
import { paceTraffic } from "./pace-traffic.ts";

const SPAN_TOPIC = "apm.spans";
const LOG_TOPIC = "apm.logs";
/** As many as the cluster gives a topic by default. */
const PARTITIONS_DEFAULT = -1;
/** How long the send under way may still take once the traffic is to stop: kafkajs alone would try much longer. */
const STOP_GRACE_MS = 2_000;

export interface TrafficOptions {
  /** `host:port` of brokers to start from. */
  kafkaBrokers: readonly string[];
  /** On average; about ten times as many spans and twice as many logs. */
  tracesPerSecond?: number;
  /** Default: the time of the start, so that a second run does not send the traces of the first again. */
  seed?: number;
  signal: AbortSignal;
  log: Logger;
}

/**
 * Lets the demo's shop send its spans and logs to Kafka until `signal` aborts: the last quarter of an hour at once,
 * then steadily. Waits for a Kafka that is away, at the start and later; what a failed send was about to deliver
 * is sent again, so some of it may arrive twice.
 */
export async function runTraffic({
  kafkaBrokers,
  tracesPerSecond = 10,
  seed = systemClock.nowMs(),
  signal,
  log,
}: TrafficOptions): Promise<void> {
  const kafka = connectKafka({ brokers: [...kafkaBrokers], clientId: "timespan-demo" }, log);
  let producer: RecordProducer | undefined;
  const send = async (events: readonly (SpanEvent | LogEvent)[]) => {
    if (producer === undefined) {
      await ensureTopics(kafka, [SPAN_TOPIC, LOG_TOPIC], PARTITIONS_DEFAULT);
      producer = await createProducer(kafka);
    }
    const { span = [], log = [] } = Object.groupBy(events, ({ type }) => type);
    await Promise.all([sendAll(producer, SPAN_TOPIC, span), sendAll(producer, LOG_TOPIC, log)]);
  };
  const traffic = paceTraffic({ seed, tracesPerSecond, send, signal, log });
  const stopAsked = new Promise<void>((resolve) =>
    signal.addEventListener("abort", () => resolve(), { once: true }),
  );
  try {
    await Promise.race([traffic, stopAsked]);
    await withTimeout(traffic, STOP_GRACE_MS, "Kafka did not take the last events").catch((err) =>
      log.warn({ err, timeout_ms: STOP_GRACE_MS }, "traffic stopped without its last events"),
    );
  } finally {
    await producer?.disconnect();
  }
}

async function sendAll(producer: RecordProducer, topic: string, events: (SpanEvent | LogEvent)[]) {
  if (events.length === 0) return;
  await producer.send(
    topic,
    events.map((event) => ({ key: event.trace_id, value: JSON.stringify(event) })),
  );
}
