import type { Handler } from "hono";

/** `GET /health`: 200 as long as the process answers at all. */
export const healthRoute = (): Handler => (c) => c.json({ status: "ok" });
