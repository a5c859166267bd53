import { readRetention } from "@timespan/store/storage/read-retention";
import { type RetentionAnswer, retentionAnswer } from "@timespan/telemetry/api/retention-answer";
import type { Handler } from "hono";
import { z } from "zod";
import type { ApiEnv } from "../api-env.ts";
import type { Operation } from "../operation.ts";
import { readParameters } from "../parameters.ts";
import { invalidParameters } from "../problem.ts";

const retentionParameters = z.object({});

export const retentionOperation: Operation<typeof retentionParameters> = {
  id: "readRetention",
  path: "/query/retention",
  summary: "How long each kind of data is kept, what is really there, and what goes next.",
  description: "It is about storage, not about rows: every key that may read sees all of it.",
  parameters: retentionParameters,
  answer: retentionAnswer,
};

/** `GET /query/retention`: how long each kind of data is kept, and what is really there. */
export const retentionRoute = (): Handler<ApiEnv> => async (c) => {
  const { problems } = readParameters(new URL(c.req.url).searchParams, retentionParameters, {
    labels: false,
  });
  if (problems.length > 0) return invalidParameters(problems);
  const answer: RetentionAnswer = { items: await readRetention(c.get("database")) };
  return c.json(answer);
};
