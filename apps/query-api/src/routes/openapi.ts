import type { Handler } from "hono";

/** `GET /openapi.json`: the document of the API. */
export const openApiRoute =
  (document: Record<string, unknown>): Handler =>
  (c) =>
    c.json(document);
