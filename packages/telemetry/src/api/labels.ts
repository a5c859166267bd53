import { z } from "zod";

/** Everything that an event carried besides the named fields. */
export const labels = z
  .record(z.string(), z.unknown())
  .describe("Labels of the event, and every field it carried that has no name of its own here.");

export const timestamp = z.string().describe("ISO 8601 in UTC with microseconds.");
