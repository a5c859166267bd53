import { z } from "zod";

/** Answer of `/ready`. */
export const readiness = z.strictObject({
  status: z.enum(["ready", "not_ready"]),
  checks: z.array(
    z.strictObject({
      name: z.enum(["database", "migrations", "ingest_lag"]),
      ok: z.boolean(),
      detail: z.string().describe("A sentence for the person who looks."),
    }),
  ),
});

export type Readiness = z.infer<typeof readiness>;
export type ReadinessCheck = Readiness["checks"][number];
