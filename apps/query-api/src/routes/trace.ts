import { findTrace } from "@timespan/store/traces/find-trace";
import { traceId } from "@timespan/telemetry/api/parameter-schemas";
import { environmentName } from "@timespan/telemetry/environment-name";
import type { Handler } from "hono";
import { z } from "zod";
import type { ApiEnv } from "../api-env.ts";
import { readParameters, text } from "../parameters.ts";
import { invalidParameters, problemResponse } from "../problem.ts";

export const traceParameters = z.object({
  service: text().optional().describe("Only spans and logs of this service."),
  environment: text().transform(environmentName).optional().describe("Only those of this environment."),
});

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
