import type { Handler } from "hono";
import swaggerUiStyle from "swagger-ui-dist/swagger-ui.css" with { type: "text" };
import swaggerUiScript from "swagger-ui-dist/swagger-ui-bundle.js" with { type: "text" };

/** Nothing comes from elsewhere: the page works where there is no way out. */
const HEADERS = {
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'",
};

const PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Timespan query API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/api-docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/api-docs/swagger-ui.js"></script>
<script src="/api-docs/start.js"></script>
</body>
</html>
`;

const START = `SwaggerUIBundle({ url: "/openapi.json", dom_id: "#swagger-ui", validatorUrl: null });\n`;

/** `GET /api-docs`: Swagger UI of the document, from its package. */
export const apiDocsRoute = (): Handler => (c) => c.html(PAGE, 200, HEADERS);

const FILES: ReadonlyMap<string, [content: string, type: string]> = new Map([
  ["swagger-ui.js", [swaggerUiScript, "text/javascript"]],
  ["start.js", [START, "text/javascript"]],
  ["swagger-ui.css", [swaggerUiStyle, "text/css"]],
]);

/** `GET /api-docs/:file`: what that page is made of. */
export const apiDocsFileRoute = (): Handler => (c) => {
  const [content, type] = FILES.get(c.req.param("file") ?? "") ?? [];
  return content === undefined
    ? c.notFound()
    : c.body(content, 200, { "content-type": `${type}; charset=utf-8` });
};
