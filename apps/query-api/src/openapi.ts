import { problem } from "@timespan/telemetry/api/problem";
import { readiness } from "@timespan/telemetry/api/readiness";
import { z } from "zod";
import type { Operation } from "./operation.ts";
import { LABELS_MAX, text, URL_CHARACTERS_MAX } from "./parameters.ts";

type Json = Record<string, unknown>;

const DESCRIPTION = `Spans, logs and what they amount to. Times of requests are ISO 8601 with an offset, epoch
milliseconds, or relative such as \`now-15m\`; \`from\` is included, \`to\` is not. Every parameter that is wrong is
named at once, in one problem (RFC 9457). A URL has at most ${URL_CHARACTERS_MAX} characters.`.replaceAll(
  "\n",
  " ",
);

/** The document of the API: OpenAPI 3.1, whose schemas are JSON Schema 2020-12, made of the schemas that validate. */
export function openApiDocument(operations: readonly Operation[], version: string): Json {
  return {
    openapi: "3.1.1",
    info: {
      title: "Timespan query API",
      version,
      description: DESCRIPTION,
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    servers: [{ url: "/" }],
    paths: {
      ...Object.fromEntries(
        operations.map((operation) => [openApiPath(operation.path), { get: describe(operation) }]),
      ),
      "/health": {
        get: {
          operationId: "health",
          summary: "Whether the process answers at all.",
          responses: { 200: json("It does.", z.strictObject({ status: z.literal("ok") })) },
        },
      },
      "/ready": {
        get: {
          operationId: "ready",
          summary: "Whether queries would be answered from fresh data.",
          responses: {
            200: json("They would.", readiness),
            503: json("They would not; the checks say why.", readiness),
          },
        },
      },
      "/metrics": {
        get: {
          operationId: "metrics",
          summary: "Numbers of this process, as Prometheus text.",
          responses: {
            200: { description: "The numbers.", content: { "text/plain": { schema: { type: "string" } } } },
          },
        },
      },
    },
    security: [{}, { key: [] }],
    components: {
      securitySchemes: {
        key: {
          type: "http",
          scheme: "bearer",
          description: "A key with the scope `read`, where the API asks for one.",
        },
      },
      schemas: { Problem: schemaOf(problem, "output") },
    },
  };
}

/** `/a/:b{.+}/c` as `/a/{b}/c`. */
export function openApiPath(path: string): string {
  return path.replace(/:(\w+)(?:\{[^}]*\})?/g, "{$1}");
}

function describe(operation: Operation): Json {
  const { summary, description, pathParameters = {}, parameters, takesLabels = false, notFound } = operation;
  return {
    operationId: operation.id,
    summary,
    ...(description === undefined ? {} : { description }),
    parameters: [
      ...Object.entries(pathParameters).map(([name, meaning]) => ({
        name,
        in: "path",
        required: true,
        description: meaning,
        schema: schemaOf(text(), "input"),
      })),
      ...Object.entries(parameters.shape).map(([name, field]) => {
        const { description: meaning, ...schema } = schemaOf(field as z.ZodType, "input");
        return { name, in: "query", required: false, description: meaning, schema };
      }),
      ...(takesLabels ? [LABEL_PARAMETER] : []),
    ],
    responses: {
      200: json("The answer.", operation.answer),
      400: refused("A parameter is wrong; `errors` names each."),
      ...(notFound === undefined ? {} : { 404: refused(notFound) }),
      401: refused("A key is needed, or this one is not known."),
      403: refused("The key may not read."),
      414: refused("The URL is too long."),
      429: refused("The key asks more often than it may; see Retry-After."),
      503: refused("The database is away, or the query took longer than it may: narrow it."),
    },
  };
}

/** An object in a query string has each of its properties as a parameter: that is how OpenAPI says `label.<key>`. */
const LABEL_PARAMETER = {
  name: "labels",
  in: "query",
  required: false,
  style: "form",
  explode: true,
  description: `Each \`label.<key>=<value>\` must be carried with exactly this value; at most ${LABELS_MAX}.`,
  schema: {
    type: "object",
    maxProperties: LABELS_MAX,
    patternProperties: { "^label\\..+$": { type: "string" } },
    additionalProperties: false,
  },
};

function json(description: string, schema: z.ZodType): Json {
  return { description, content: { "application/json": { schema: schemaOf(schema, "output") } } };
}

function refused(description: string): Json {
  return {
    description,
    content: { "application/problem+json": { schema: { $ref: "#/components/schemas/Problem" } } },
  };
}

function schemaOf(schema: z.ZodType, io: "input" | "output"): Json {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, {
    io,
    // zod leaves both out where what is sent differs from what is read: here they are what is sent.
    override({ zodSchema, jsonSchema }) {
      const { default: fallback, examples } = z.globalRegistry.get(zodSchema) ?? {};
      if (fallback !== undefined) Object.assign(jsonSchema, { default: fallback });
      if (examples !== undefined) Object.assign(jsonSchema, { examples });
    },
  });
  return rest;
}
