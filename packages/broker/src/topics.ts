import { wholeNumber } from "@timespan/runtime/settings";
import { z } from "zod";

const topicName = (fallback: string) =>
  z
    .string()
    .regex(/^[a-zA-Z0-9._-]{1,249}$/, "must be a Kafka topic name")
    .default(fallback);

/** Settings that name the topics, to be spread into an app's schema. */
export const topicSettings = {
  KAFKA_APM_LOG_TOPIC: topicName("apm.logs").describe("Topic of log events."),
  KAFKA_APM_SPAN_TOPIC: topicName("apm.spans").describe("Topic of span events."),
  KAFKA_OTLP_SPAN_TOPIC: topicName("otlp_spans").describe(
    "Topic of OpenTelemetry export requests of spans, in protobuf or JSON.",
  ),
  KAFKA_OTLP_LOG_TOPIC: topicName("otlp_logs").describe(
    "Topic of OpenTelemetry export requests of logs, in protobuf or JSON.",
  ),
  KAFKA_APM_LOG_ERROR_TOPIC: topicName("apm.logs.error").describe(
    "Topic to which every ERROR log is forwarded for the live channel.",
  ),
  KAFKA_TOPIC_PARTITIONS: wholeNumber(6, 1, 10_000).describe(
    "Partitions of a topic that is created at start.",
  ),
};
