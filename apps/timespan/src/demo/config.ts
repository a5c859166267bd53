import { list, readSettings } from "@timespan/runtime/settings";
import { z } from "zod";

const schema = z.object({
  KAFKA_BROKERS: list()
    .refine((brokers) => brokers.length > 0, "is required")
    .describe("Brokers to start from, `host:port`, comma-separated. Required."),
  DEMO_TRACES_PER_SECOND: z
    .string()
    .default("10")
    .transform(Number)
    .refine((rate) => rate > 0 && rate <= 1_000, "must be a number above 0 and at most 1000")
    .describe("Traces a second, on average; each is about ten spans and two logs."),
});

/** @throws {SettingsError} with all problems at once */
export function readDemoConfig(): { kafkaBrokers: string[]; tracesPerSecond: number } {
  const settings = readSettings(schema, process.env);
  return { kafkaBrokers: settings.KAFKA_BROKERS, tracesPerSecond: settings.DEMO_TRACES_PER_SECOND };
}
