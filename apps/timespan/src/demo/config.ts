import { list, readSettings } from "@timespan/runtime/settings";
import { z } from "zod";

const schema = z.object({
  KAFKA_BROKERS: list()
    .refine((brokers) => brokers.length > 0, "is required")
    .describe("Brokers to start from, `host:port`, comma-separated. Required."),
});

/** @throws {SettingsError} with all problems at once */
export function readDemoConfig(): { kafkaBrokers: string[] } {
  return { kafkaBrokers: readSettings(schema, process.env).KAFKA_BROKERS };
}
