import type { Clock } from "@timespan/runtime/clock";
import { listSpans } from "@timespan/store/spans/list-spans";
import { type SpanList, spanList } from "@timespan/telemetry/api/list-answer";
import { spanId, traceId, word } from "@timespan/telemetry/api/parameter-schemas";
import { SPAN_SORTS } from "@timespan/telemetry/api/span-item";
import { SPAN_KIND_NAMES } from "@timespan/telemetry/span-kind";
import { STATUS_CODE_NAMES } from "@timespan/telemetry/status-code";
import { SPAN_NAME_CHARACTERS_MAX } from "@timespan/telemetry/wire/event-fields";
import type { Handler } from "hono";
import { z } from "zod";
import type { ApiEnv } from "../api-env.ts";
import { durationBounds, durationMs, durationProblems } from "../duration-bounds.ts";
import { type ListDefinition, listAnswer, listParameters, readListRequest } from "../list-request.ts";
import type { Operation } from "../operation.ts";
import { environment, oneOf, text, withDefault } from "../parameters.ts";
import { invalidParameters } from "../problem.ts";

const SPANS_SIZE_MAX = 1_000;

export const spanParameters = z.object({
  service_name: text().optional(),
  environment: environment(),
  name: text(SPAN_NAME_CHARACTERS_MAX).optional().describe("Name of the operation, exactly."),
  kind: word(SPAN_KIND_NAMES).optional(),
  status: word(STATUS_CODE_NAMES).optional(),
  min_duration_ms: durationMs.optional().describe("Shortest duration, included, in milliseconds."),
  max_duration_ms: durationMs.optional().describe("Longest duration, included, in milliseconds."),
  trace_id: traceId.optional(),
  parent_span_id: spanId.optional(),
  ...listParameters(SPANS_SIZE_MAX),
  sort: withDefault(oneOf(SPAN_SORTS), "start_time_desc"),
});

export const spansOperation: Operation<typeof spanParameters> = {
  id: "listSpans",
  path: "/query/spans",
  summary: "Spans by any of their fields, newest first unless asked otherwise.",
  parameters: spanParameters,
  takesLabels: true,
  answer: spanList,
};

const definition: ListDefinition<typeof spanParameters> = {
  name: "spans",
  schema: spanParameters,
  check: durationProblems,
};

/** `GET /query/spans`: spans by any of their fields, newest first unless asked otherwise. */
export const spansRoute =
  (clock: Clock): Handler<ApiEnv> =>
  async (c) => {
    const read = readListRequest(definition, new URL(c.req.url).searchParams, clock.nowMs());
    if (!read.ok) return invalidParameters(read.problems);
    const { parameters, labels, range, page } = read.request;
    const found = await listSpans(
      c.get("database"),
      c.get("access"),
      {
        range,
        serviceName: parameters.service_name,
        environment: parameters.environment,
        name: parameters.name,
        kind: parameters.kind,
        status: parameters.status,
        ...durationBounds(parameters),
        traceId: parameters.trace_id,
        parentSpanId: parameters.parent_span_id,
        labels,
      },
      parameters.sort,
      page,
    );
    c.get("facts").rows = found.items.length;
    const answer: SpanList = listAnswer(read.request, found);
    return c.json(answer);
  };
