import { z } from "zod";
import { timestamp } from "./labels.ts";

/** Answer of `/query/retention`: what is kept for how long, and what is really there. */
export const retentionAnswer = z.strictObject({
  items: z.array(
    z.strictObject({
      signal: z.enum(["spans", "logs", "rollup_1m", "rollup_1h", "dead_letters"]),
      relation: z.string().describe("The table or rollup."),
      environment: z
        .string()
        .nullable()
        .describe("Which one, where it has a retention of its own: in lower case, with _ between words."),
      retention_seconds: z.number().describe("How long rows are kept, as set."),
      oldest_time: timestamp.nullable().describe("Of the oldest row that is there; null without rows."),
      size_bytes: z
        .number()
        .nullable()
        .describe("On disk, indexes included; null for one environment, whose rows lie among the others."),
      next_drop_time: timestamp
        .nullable()
        .describe("When the oldest chunk or day goes, at the earliest: jobs run every hour."),
    }),
  ),
});

export type RetentionAnswer = z.infer<typeof retentionAnswer>;
export type RetentionItem = RetentionAnswer["items"][number];
