import { randomBytes } from "node:crypto";
import { connectKafka } from "@timespan/broker/connect-kafka";
import { createProducer } from "@timespan/broker/producer";
import { StackError } from "@timespan/local-stack/stack-error";
import { systemClock } from "@timespan/runtime/clock";
import { createLogger } from "@timespan/runtime/logger";
import type { Config } from "../config.ts";
import { readEnvFile } from "../env-file.ts";
import type { Progress } from "../progress-line.ts";

/**
 * Sends one log or span event of the contract to Kafka: `KAFKA_BROKERS`, or the stack that runs in this home.
 * @throws {StackError} when no broker is named, or it does not take the event
 */
export async function sample(kind: "log" | "span", config: Config, progress: Progress): Promise<void> {
  const running = readEnvFile(config.home);
  const connection = config.given.kafka ?? {
    brokers: running?.KAFKA_BROKERS?.split(",") ?? [],
    clientId: "timespan-sample",
  };
  if (connection.brokers.length === 0) {
    throw new StackError(
      `KAFKA_BROKERS is not set, and no stack runs in ${config.home}.`,
      "Set KAFKA_BROKERS, or start a stack with `bun run up`.",
    );
  }
  const now = new Date(systemClock.nowMs()).toISOString();
  const event = kind === "log" ? sampleLog(now) : sampleSpan(now);
  const topic = kind === "log" ? config.topics.logs : config.topics.spans;
  await send(connection, topic, event).catch((cause) => {
    throw new StackError(
      `Kafka at ${connection.brokers.join(",")} did not take the event: ${cause instanceof Error ? cause.message : cause}`,
      `Is it running, and does the topic ${topic} exist? \`bun run up\` brings both.`,
      { cause },
    );
  });
  progress.report(`Sent to ${topic}: ${JSON.stringify(event)}`);
  const { QUERY_API_URL: api } = running ?? {};
  if (api !== undefined) progress.report(`A second later: curl -s ${api}/query/traces/${event.trace_id}`);
}

async function send(connection: Parameters<typeof connectKafka>[0], topic: string, event: object) {
  const producer = await createProducer(connectKafka(connection, createLogger("timespan", "silent")));
  try {
    await producer.send(topic, [{ key: null, value: JSON.stringify(event) }]);
  } finally {
    await producer.disconnect();
  }
}

function sampleLog(timestamp: string) {
  return {
    type: "log",
    timestamp,
    service_name: "sample-service",
    environment: "development",
    level: "ERROR",
    message: "payment declined: card expired",
    trace_id: randomBytes(16).toString("hex"),
    span_id: randomBytes(8).toString("hex"),
    http_method: "POST",
    http_path: "/checkout",
    http_status_code: 402,
    labels: { order_id: "4711" },
  };
}

function sampleSpan(timestamp: string) {
  return {
    type: "span",
    timestamp,
    service_name: "sample-service",
    environment: "development",
    trace_id: randomBytes(16).toString("hex"),
    span_id: randomBytes(8).toString("hex"),
    parent_span_id: null,
    name: "POST /checkout",
    kind: "SERVER",
    duration_ms: 12.5,
    status: "OK",
    http_method: "POST",
    http_path: "/checkout",
    http_status_code: 200,
    labels: { order_id: "4711" },
  };
}
