import { findTrace } from "@timespan/store/traces/find-trace";
import { traceId } from "@timespan/telemetry/api/parameter-schemas";
import { traceAnswer } from "@timespan/telemetry/api/trace-answer";
import type { Handler } from "hono";
import { z } from "zod";
import type { ApiEnv } from "../api-env.ts";
import type { Operation } from "../operation.ts";
import { environment, readParameters, text } from "../parameters.ts";
import { invalidParameters, problemResponse } from "../problem.ts";

export const traceParameters = z.object({
  service: text().optional().describe("Only spans and logs of this service."),
  environment: environment(),
});

export const traceOperation: Operation<typeof traceParameters> = {
  id: "findTrace",
  path: "/query/traces/:traceId",
  summary: "A trace with its spans and logs, oldest first.",
  pathParameters: {
    traceId: "32 hex digits; 16 are padded with zeros, dashes are allowed.",
  },
  parameters: traceParameters,
  answer: traceAnswer,
  notFound: "Nothing of the trace is stored that the caller may see.",
};

/** `GET /query/traces/:traceId`: a trace with its spans and logs. */
export const traceRoute = (): Handler<ApiEnv> => async (c) => {
  const id = traceId.safeParse(c.req.param("traceId"));
  const { values, problems } = readParameters(new URL(c.req.url).searchParams, traceParameters, {
    labels: false,
  });
  if (!id.success) {
    problems.unshift({ name: "traceId", reason: id.error.issues[0]?.message ?? "is not valid" });
  }
  if (problems.length > 0 || !id.success) return invalidParameters(problems);
  const trace = await findTrace(c.get("database"), c.get("access"), id.data, {
    serviceName: values.service,
    environment: values.environment,
  });
  return trace === undefined
    ? problemResponse("trace_not_found", `Nothing of trace ${id.data} is stored that you may see.`)
    : c.json(trace);
};
