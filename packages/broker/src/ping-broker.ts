import { Kafka, logLevel } from "kafkajs";
import { kafkajsSecurity } from "./auth/kafkajs-security.ts";
import type { BrokerSecurity } from "./kafka-settings.ts";

export type { BrokerSecurity };

const PING_TIMEOUT_MS = 5_000;

/**
 * Asks a broker for its cluster once, with no retries.
 * @throws kafkajs' error when nothing answers or the broker is not ready to answer
 */
export async function pingBroker(
  brokers: readonly string[],
  security: BrokerSecurity = {},
): Promise<{ brokerCount: number }> {
  const kafka = new Kafka({
    brokers: [...brokers],
    clientId: "timespan-ping",
    ...kafkajsSecurity(security),
    connectionTimeout: PING_TIMEOUT_MS,
    requestTimeout: PING_TIMEOUT_MS,
    retry: { retries: 0 },
    // A broker that is not up yet is the expected answer here, not something to log.
    logLevel: logLevel.NOTHING,
  });
  const admin = kafka.admin();
  try {
    await admin.connect();
    const cluster = await admin.describeCluster();
    if (cluster.brokers.length === 0) throw new Error("the cluster has no broker yet");
    return { brokerCount: cluster.brokers.length };
  } finally {
    await admin.disconnect();
  }
}
