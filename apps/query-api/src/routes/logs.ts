import type { Clock } from "@timespan/runtime/clock";
import { listLogRecords } from "@timespan/store/log-records/list-log-records";
import { type LogList, logList } from "@timespan/telemetry/api/list-answer";
import { LOG_SORTS } from "@timespan/telemetry/api/log-item";
import { spanId, traceId, word } from "@timespan/telemetry/api/parameter-schemas";
import { LOG_LEVELS } from "@timespan/telemetry/severity";
import type { Handler } from "hono";
import { z } from "zod";
import type { ApiEnv } from "../api-env.ts";
import { type ListDefinition, listAnswer, listParameters, readListRequest } from "../list-request.ts";
import type { Operation } from "../operation.ts";
import { environment, oneOf, text, withDefault } from "../parameters.ts";
import { invalidParameters } from "../problem.ts";

const LOGS_SIZE_MAX = 10_000;
const LOGS_WINDOW_MS = 15 * 60_000;
const MESSAGE_CHARACTERS_MAX = 1_024;

export const logParameters = z.object({
  service_name: text().optional(),
  environment: environment(),
  level: word(LOG_LEVELS).optional().describe("Exactly this level."),
  min_level: word(LOG_LEVELS).optional().describe("This level or a more severe one."),
  trace_id: traceId.optional(),
  span_id: spanId.optional(),
  message: text(MESSAGE_CHARACTERS_MAX)
    .optional()
    .describe("Contained in the message: upper and lower case differ, no character is special."),
  ...listParameters(LOGS_SIZE_MAX),
  sort: withDefault(oneOf(LOG_SORTS), "desc"),
});

export const logsOperation: Operation<typeof logParameters> = {
  id: "listLogs",
  path: "/query/logs",
  summary: "Logs of the last 15 minutes, or of the window asked for, newest first unless asked otherwise.",
  parameters: logParameters,
  takesLabels: true,
  answer: logList,
};

const definition: ListDefinition<typeof logParameters> = {
  name: "logs",
  schema: logParameters,
  defaultWindowMs: LOGS_WINDOW_MS,
};

/** `GET /query/logs`: logs of the last 15 minutes, or the window asked for, newest first unless asked otherwise. */
export const logsRoute =
  (clock: Clock): Handler<ApiEnv> =>
  async (c) => {
    const read = readListRequest(definition, new URL(c.req.url).searchParams, clock.nowMs());
    if (!read.ok) return invalidParameters(read.problems);
    const { parameters, labels, range, page } = read.request;
    const found = await listLogRecords(
      c.get("database"),
      c.get("access"),
      {
        range,
        serviceName: parameters.service_name,
        environment: parameters.environment,
        level: parameters.level,
        minLevel: parameters.min_level,
        traceId: parameters.trace_id,
        spanId: parameters.span_id,
        message: parameters.message,
        labels,
      },
      parameters.sort,
      page,
    );
    c.get("facts").rows = found.items.length;
    const answer: LogList = listAnswer(read.request, found);
    return c.json(answer);
  };
