import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Validator } from "@seriousme/openapi-schema-validator";
import { logEvent, randomHex, spanEvent } from "@timespan/testing/events";
import { testEngines } from "@timespan/testing/test-environment";
import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import { openApiDocument, openApiPath } from "../src/openapi.ts";
import { OPERATIONS } from "../src/operations.ts";
import { LABELS_MAX } from "../src/parameters.ts";
import { startTestApi, type TestApi } from "./test-api.ts";

/** The parts of the document that are looked at. */
interface ParameterSchema {
  type: string;
  enum?: string[];
  minimum?: number;
  maximum?: number;
  minLength?: number;
  maxLength?: number;
  pattern?: string;
  default?: string | number;
  examples?: string[];
}
interface Described {
  operationId: string;
  parameters?: { name: string; in: "path" | "query"; schema: ParameterSchema }[];
  responses: Record<string, { content: Record<string, { schema: object }> }>;
}
interface Document {
  paths: Record<string, { get: Described }>;
  components: { schemas: Record<string, object> };
}

const document = openApiDocument(OPERATIONS, "1.2.3") as unknown as Document;
const ajv = new Ajv2020({ strict: true, allErrors: true });
const validator = (schema: object): ValidateFunction =>
  ajv.compile({ ...schema, components: document.components } as object);
ajv.addVocabulary(["components"]);

const trace_id = randomHex(16);
const span_id = randomHex(8);
const ENDPOINT = "GET /a/b";
const path = (template: string) =>
  template
    .replace("{traceId}", trace_id)
    .replace("{serviceName}", "checkout")
    .replace("{endpointName}", encodeURIComponent(ENDPOINT));

/** Values that the schema of a parameter allows. */
function validValues({
  enum: values,
  examples,
  minimum,
  maximum,
  default: fallback,
  type,
  maxLength,
}: ParameterSchema) {
  return [
    ...(values ?? []),
    ...(examples?.slice(0, 1) ?? []),
    ...(minimum === undefined ? [] : [minimum]),
    ...(maximum === undefined ? [] : [maximum]),
    ...(fallback === undefined ? [] : [fallback]),
    ...(type === "number" ? [75.5] : []),
    ...(type === "string" && values === undefined && examples === undefined
      ? ["x", "é".repeat(maxLength ?? 1)]
      : []),
  ].map(String);
}

/** Values that it does not allow. */
function invalidValues({
  enum: values,
  minimum,
  maximum,
  type,
  minLength,
  maxLength,
  pattern,
}: ParameterSchema) {
  return [
    ...(values === undefined ? [] : ["", "no such value"]),
    ...(minimum === undefined ? [] : [minimum - 1]),
    ...(maximum === undefined ? [] : [maximum + 1]),
    ...(type === "integer" ? ["1.5", "x", ""] : []),
    ...(type === "number" ? ["1e3", "x", ""] : []),
    ...(minLength === undefined ? [] : [""]),
    ...(maxLength === undefined ? [] : ["x".repeat(maxLength + 1)]),
    ...(pattern === undefined ? [] : ["no such form"]),
  ].map(String);
}

test("the document is valid OpenAPI 3.1", async () => {
  const { valid, errors } = await new Validator().validate(JSON.parse(JSON.stringify(document)));
  expect({ valid, errors }).toEqual({ valid: true, errors: undefined });
});

for (const { engine, present } of testEngines()) {
  describe.skipIf(!present)(`the document on ${engine}`, () => {
    let api: TestApi;
    beforeAll(async () => {
      api = await startTestApi(engine);
      const shared = { trace_id, span_id, timestamp: new Date(Date.now() - 60_000).toISOString() };
      const request = { ...shared, name: ENDPOINT, http_path: "/a/b", http_method: "GET" };
      await api.store([
        spanEvent(request),
        spanEvent({ ...request, status: "ERROR", span_id: randomHex(8), parent_span_id: span_id }),
        logEvent(shared),
      ]);
    });
    afterAll(() => api?.close());

    test("is served, and describes every path there is, and no other", async () => {
      const { status, text } = await api.get("/openapi.json");
      expect(status).toBe(200);
      const served: Document = JSON.parse(text);
      const routes = api.app.routes
        .filter(({ method, path }) => method === "GET" && !/\*|^\/(openapi\.json|api-docs)/.test(path))
        .map(({ path }) => openApiPath(path));
      expect(Object.keys(served.paths).sort()).toEqual([...new Set(routes)].sort());
      const ids = Object.values(served.paths).map(({ get }) => get.operationId);
      expect(new Set(ids).size).toBe(ids.length);
    });

    for (const [template, { get }] of Object.entries(document.paths)) {
      const isJson = get.responses["200"]?.content["application/json"];
      if (isJson === undefined) continue;
      const answer = validator(isJson.schema);
      const problem = get.responses["400"]?.content["application/problem+json"];
      const query = (get.parameters ?? []).filter((parameter) => parameter.in === "query");
      const plain = query.filter(({ name }) => name !== "labels");
      const send = async (search: string) => {
        const { status, text, headers } = await api.get(`${path(template)}${search}`);
        const body: unknown = JSON.parse(text);
        const known = get.responses[status]?.content ?? {};
        expect({ search, status, described: Object.keys(known) }).toEqual({
          search,
          status,
          described: [headers.get("content-type")?.split(";")[0] ?? ""],
        });
        return { status, body };
      };
      const expectAnswer = async (search: string) => {
        const { status, body } = await send(search);
        expect({ search, status, body: status === 200 ? "" : body }).toEqual({
          search,
          status: 200,
          body: "",
        });
        expect({ search, valid: answer(body), errors: answer.errors }).toEqual({
          search,
          valid: true,
          errors: null,
        });
        return body;
      };
      const expectRefusal = async (search: string, name: string) => {
        const { status, body } = await send(search);
        expect({ search, status }).toEqual({ search, status: 400 });
        if (problem === undefined) return;
        const isProblem = validator(problem.schema);
        expect({ valid: isProblem(body), errors: isProblem.errors }).toEqual({ valid: true, errors: null });
        expect((body as { errors: { name: string }[] }).errors.map((error) => error.name)).toContain(name);
      };

      test(`${template} answers as it says`, async () => {
        const body = await expectAnswer("");
        // An answer without a row would prove little.
        if (template.startsWith("/query")) {
          // About storage and about differences; all else is about services.
          const known =
            { "/query/retention": "log_records", "/query/service-map/diff": "appeared" }[template] ??
            "checkout";
          expect(JSON.stringify(body)).toContain(known);
        }
      });

      // A cursor comes from an answer; its own tests follow it.
      for (const { name, schema } of plain.filter(({ name }) => name !== "cursor")) {
        test(`${template}?${name}= takes what it says it takes`, async () => {
          const size = name === "page" ? "&size=1" : "";
          for (const value of validValues(schema)) {
            await expectAnswer(`?${name}=${encodeURIComponent(value)}${size}`);
          }
        });
        test(`${template}?${name}= refuses what it says it does not take, and what is there twice`, async () => {
          for (const value of invalidValues(schema)) {
            await expectRefusal(`?${name}=${encodeURIComponent(value)}`, name);
          }
          const [value = "x"] = validValues(schema).map(encodeURIComponent);
          await expectRefusal(`?${name}=${value}&${name}=${value}`, name);
        });
      }

      if (template.startsWith("/query")) {
        test(`${template} refuses what it does not describe, and takes labels where it says so`, async () => {
          await expectRefusal("?no_such_parameter=1", "no_such_parameter");
          if (plain.length === query.length) return expectRefusal("?label.region=eu", "label.region");
          await expectAnswer("?label.region=eu&label.b=");
          const many = Array.from({ length: LABELS_MAX + 1 }, (_, n) => `label.k${n}=v`).join("&");
          await expectRefusal(`?${many}`, "label.<key>");
        });
      }
    }

    test("is shown by Swagger UI, which asks nobody else", async () => {
      const page = await api.get("/api-docs");
      expect(page.status).toBe(200);
      expect(page.text).not.toMatch(/https?:\/\//);
      expect(page.headers.get("content-security-policy")).toContain("default-src 'none'");
      const files = [...page.text.matchAll(/(?:src|href)="(\/[^"]+)"/g)].map(([, file = ""]) => file);
      expect(files).toHaveLength(3);
      for (const file of files) {
        const { status, text, headers } = await api.get(file);
        expect(status).toBe(200);
        expect(text.length).toBeGreaterThan(50);
        expect(headers.get("content-type")).toMatch(/^text\/(javascript|css)/);
      }
      expect((await api.get("/api-docs/start.js")).text).toContain('"/openapi.json"');
      expect((await api.get("/api-docs/../package.json")).status).toBe(404);
      expect((await api.get("/api-docs/package.json")).status).toBe(404);
    });
  });
}
