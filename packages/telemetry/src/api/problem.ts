import { z } from "zod";

/** An error answer, `application/problem+json` of RFC 9457. */
export const problem = z.strictObject({
  type: z.string().describe("What kind of problem this is, as a stable identifier."),
  title: z.string().describe("The kind of problem in words."),
  status: z.int().describe("The HTTP status code."),
  detail: z.string().describe("What happened this time, and what to do."),
  errors: z
    .array(z.strictObject({ name: z.string(), reason: z.string() }))
    .describe("Every parameter at fault and why.")
    .optional(),
});

export type Problem = z.infer<typeof problem>;
