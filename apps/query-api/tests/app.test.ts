import { afterAll, describe, expect, spyOn, test } from "bun:test";
import { createLogger } from "@timespan/runtime/logger";
import { closeDatabase } from "@timespan/store/database";
import { problem } from "@timespan/telemetry/api/problem";
import { readiness } from "@timespan/telemetry/api/readiness";
import { get, openReader, testApp } from "./test-api.ts";

const TRACE = "0af7651916cd43dd8448eb211c80319c";
const QUERIES = [
  `/query/traces/${TRACE}`,
  "/query/spans",
  "/query/logs",
  "/query/services",
  "/query/services/cart/metrics",
  "/query/services/cart/traces",
  "/query/services/cart/endpoints",
  "/query/services/cart/endpoints/GET%20%2Forders/traces",
];

/** Port 1 is nobody's: connecting is refused at once, as where the database is down. */
const away = openReader("postgres://timespan@127.0.0.1:1/timespan");
const app = testApp(away);
afterAll(() => closeDatabase(away));

describe("without its database", () => {
  test("/health answers 200", async () => {
    expect(await get(app, "/health")).toMatchObject({ status: 200, body: { status: "ok" } });
  });

  test("/ready answers 503 and says which checks fail", async () => {
    const { status, body } = await get(app, "/ready");
    expect(status).toBe(503);
    expect(readiness.parse(body)).toEqual({
      status: "not_ready",
      checks: [
        { name: "database", ok: false, detail: expect.stringContaining("no answer") },
        { name: "migrations", ok: false, detail: expect.stringContaining("not known") },
        { name: "ingest_lag", ok: false, detail: expect.stringContaining("not known") },
      ],
    });
  });

  test.each(QUERIES)("%s answers 503 and when to come back", async (path) => {
    const { status, body, headers } = await get(app, path);
    expect(status).toBe(503);
    expect(problem.parse(body).type).toBe("urn:timespan:problem:database_unavailable");
    expect(Number(headers.get("retry-after"))).toBeGreaterThan(0);
    expect(JSON.stringify(body)).not.toContain("127.0.0.1");
  });

  test("/metrics counts requests by route and status, never by path", async () => {
    await get(app, "/nowhere");
    const { status, text, headers } = await get(app, "/metrics");
    expect(status).toBe(200);
    expect(headers.get("content-type")).toContain("text/plain");
    expect(text).toContain(
      'http_server_requests_total{http_route="/query/traces/:traceId",http_response_status_code="503",service_name="query-api"} 1',
    );
    expect(text).toContain('http_route="unmatched",http_response_status_code="404"');
    expect(text).toContain("http_server_request_duration_seconds_bucket");
    expect(text).not.toContain(TRACE);
  });
});

describe("an error answer", () => {
  test.each(["/", "/query", "/query/traces", "/query/span", "/favicon.ico", "/query/traces/a/b"])(
    "of the unknown path %s is 404",
    async (path) => {
      const { status, body, headers } = await get(app, path);
      expect(status).toBe(404);
      expect(headers.get("content-type")).toBe("application/problem+json");
      expect(problem.parse(body).title).toBe("Not found");
    },
  );

  test.each(
    ["/health", "/ready", "/metrics", ...QUERIES].flatMap((path) =>
      ["POST", "PUT", "DELETE", "OPTIONS"].map((method) => [method, path] as const),
    ),
  )("of %s %s is 405 with what is allowed", async (method, path) => {
    const { status, body, headers } = await get(app, path, { method });
    expect(status).toBe(405);
    expect(headers.get("allow")).toBe("GET, HEAD");
    expect(problem.parse(body).status).toBe(405);
  });

  test("of a URL that is too long is 414", async () => {
    const { status, body } = await get(app, `/query/logs?message=${"x".repeat(8_192)}`);
    expect(status).toBe(414);
    expect(problem.parse(body).detail).toContain("8192");
  });

  test("of a bug is 500, tells nothing of it, and is logged", async () => {
    const logger = createLogger("query-api tests", "silent");
    const logged = spyOn(logger, "error");
    const database = new Proxy(away, {
      apply() {
        throw new Error("secret: SELECT * FROM timespan.spans at /srv/app.ts");
      },
    });
    const broken = testApp(database, { logger });
    for (const path of QUERIES) {
      const { status, body } = await get(broken, path);
      expect(status).toBe(500);
      expect(problem.parse(body).detail).toBe("Something went wrong here. It was logged.");
      expect(JSON.stringify(body)).not.toContain("secret");
    }
    expect(logged).toHaveBeenCalledTimes(QUERIES.length);
    expect(logged.mock.calls[0]?.[0]).toMatchObject({ err: expect.any(Error), status: 500 });
  });

  test("is never cached, and never taken for something else than JSON", async () => {
    const { headers } = await get(app, "/query/spans?size=0");
    expect(headers.get("cache-control")).toBe("no-store");
    expect(headers.get("x-content-type-options")).toBe("nosniff");
  });
});

describe("wrong parameters", () => {
  const reasons = async (path: string) => {
    const { status, body, headers } = await get(app, path);
    expect(status).toBe(400);
    expect(headers.get("content-type")).toBe("application/problem+json");
    const errors = problem.parse(body).errors ?? [];
    return Object.fromEntries(errors.map(({ name, reason }) => [name, reason]));
  };

  test("are all listed at once", async () => {
    expect(
      await reasons(
        "/query/spans?service_name=&kind=SERVR&status=fine&min_duration_ms=-1&max_duration_ms=1e3&trace_id=xyz" +
          "&parent_span_id=0000000000000000&from=yesterday&to=2026-11-21T15:00:00&page=0&size=1001&sort=newest" +
          "&label.=x&colour=red&environment=a&environment=b",
      ),
    ).toEqual({
      service_name: "must not be empty",
      kind: "must be one of INTERNAL, SERVER, CLIENT, PRODUCER, CONSUMER",
      status: "must be one of UNSET, OK, ERROR",
      min_duration_ms: "must be a number such as 250 or 0.5",
      max_duration_ms: "must be a number such as 250 or 0.5",
      trace_id: "must be 32 (or 16) hex digits, not all zero",
      parent_span_id: "must be 16 hex digits, not all zero",
      from: expect.stringContaining("must be an ISO 8601 time"),
      to: "needs an offset, such as Z or +02:00",
      page: "must be at least 1",
      size: "must be at most 1000",
      sort: "must be one of start_time_desc, start_time_asc, duration_desc, duration_asc",
      "label.": expect.stringContaining("needs the label's key"),
      colour: expect.stringContaining("is not known here"),
      environment: "must be given once",
    });
    expect(
      await reasons(
        "/query/logs?level=FATAL&min_level=&span_id=1&message=&from=now&to=now-1m&size=10001&page=x&sort=up&message2=a",
      ),
    ).toEqual({
      level: "must be one of DEBUG, INFO, WARN, ERROR",
      min_level: expect.any(String),
      span_id: "must be 16 hex digits, not all zero",
      message: "must not be empty",
      from: "must be before to",
      size: "must be at most 10000",
      page: "must be a whole number",
      sort: "must be one of desc, asc",
      message2: expect.stringContaining("is not known here"),
    });
    expect(
      await reasons(
        "/query/services?from=a&to=b&environment=&name_filter=&sort_by=name&limit=0&page=1&label.a=b",
      ),
    ).toEqual({
      from: expect.stringContaining("must be an ISO 8601 time"),
      to: expect.stringContaining("must be an ISO 8601 time"),
      environment: "must not be empty",
      name_filter: "must not be empty",
      sort_by: "must be one of request_count, latency_p95_ms, error_rate",
      limit: "must be at least 1",
      page: expect.stringContaining("is not known here"),
      "label.a": expect.stringContaining("is not known here"),
    });
    expect(
      await reasons(
        `/query/services/${"x".repeat(256)}/metrics?metric=latency_p0_ms&interval=5&intervalMinutes=0.5&from=now&to=now`,
      ),
    ).toEqual({
      serviceName: "must have at most 255 characters",
      metric: expect.stringContaining("must be http_requests_total"),
      interval: expect.stringContaining("must be a length of time"),
      intervalMinutes: "must be a whole number",
      from: "must be before to",
    });
    expect(
      await reasons(
        "/query/services/cart/endpoints/%00/traces?status=OK&limit=1001&slow_percentile=49.9&interval=1m",
      ),
    ).toEqual({
      endpointName: "must not contain NUL",
      status: "must be one of ERROR, SLOW",
      limit: "must be at most 1000",
      slow_percentile: "must be at least 50",
      interval: expect.stringContaining("is not known here"),
    });
    expect(
      await reasons(
        "/query/services/%00/traces?status=UNSET&size=201&sort=up&min_duration_ms=2&max_duration_ms=1",
      ),
    ).toEqual({
      serviceName: "must not contain NUL",
      status: "must be one of OK, ERROR",
      size: "must be at most 200",
      sort: expect.stringContaining("must be one of start_time_desc"),
      min_duration_ms: "must not be above max_duration_ms",
    });
    expect(await reasons("/query/services/cart/endpoints?metric=latency_p90_ms&sort_by=&limit=x")).toEqual({
      metric: "must be one of request_count, latency_p95_ms, error_rate",
      sort_by: "must be one of request_count, latency_p95_ms, error_rate",
      limit: "must be a whole number",
    });
    expect(await reasons("/query/traces/123?service=&page=2")).toEqual({
      traceId: "must be 32 (or 16) hex digits, not all zero",
      service: "must not be empty",
      page: expect.stringContaining("is not known here"),
    });
  });

  test.each([
    ["/query/spans?min_duration_ms=5&max_duration_ms=4.999", "min_duration_ms"],
    ["/query/spans?min_duration_ms=99999999999", "min_duration_ms"],
    ["/query/spans?from=2026-11-21T15:00:00Z&to=2026-11-21T15:00:00Z", "from"],
    ["/query/logs?from=now%2B1h", "from"],
    ["/query/logs?from=4102444800000", "from"],
    ["/query/spans?from=1795273200", "from"],
    ["/query/spans?from=2016-01-01T00:00:00Z&to=2026-01-01T00:00:00Z", "from"],
    ["/query/services?from=2016-01-01T00:00:00Z", "from"],
    ["/query/services/cart/metrics?from=now-401d", "from"],
    ["/query/services/cart/metrics?from=now-10h&interval=1s", "interval"],
    ["/query/services/cart/metrics?from=now-400d&intervalMinutes=20", "intervalMinutes"],
    ["/query/services/cart/metrics?interval=0s", "interval"],
    ["/query/services/cart/metrics?interval=401d", "interval"],
    ["/query/services/cart/metrics?interval=1h&intervalMinutes=61", "intervalMinutes"],
    ["/query/services/cart/metrics?metric=latency_p100_ms", "metric"],
    ["/query/spans?cursor=!", "cursor"],
    ["/query/spans?cursor=AAAA", "cursor"],
    [`/query/spans?cursor=${"A".repeat(600)}`, "cursor"],
    ["/query/spans?page=1&cursor=AAAA", "page"],
    ["/query/spans?size=1.5", "size"],
    ["/query/spans?size=-1", "size"],
    ["/query/spans?page=99999999999999999999", "page"],
    ["/query/spans?name=a%00b", "name"],
    ["/query/logs?message=%00", "message"],
    ["/query/logs?label.k=%00", "label.k"],
    ["/query/logs?label.%00=v", "label.\0"],
    [`/query/logs?${Array.from({ length: 11 }, (_, n) => `label.k${n}=v`).join("&")}`, "label.<key>"],
    [`/query/logs?service_name=${"x".repeat(256)}`, "service_name"],
    ["/query/spans?__proto__=1", "__proto__"],
    ["/query/spans?constructor=1", "constructor"],
    ["/query/spans?toString=1", "toString"],
    ["/query/traces/00000000000000000000000000000000", "traceId"],
    ["/query/traces/%00", "traceId"],
    ["/query/traces/'%3B%20DROP%20TABLE%20spans", "traceId"],
  ])("%s is 400 for its %s", async (path, name) => {
    expect(Object.keys(await reasons(path))).toContain(name);
  });

  test("that read too deep by page number are told of the cursor", async () => {
    expect(await reasons("/query/spans?page=201&size=50")).toEqual({
      page: expect.stringContaining("cursor"),
    });
    expect(await reasons("/query/logs?page=2&size=10000")).toEqual({
      page: expect.stringContaining("next_cursor"),
    });
  });
});

describe("CORS", () => {
  const origin = "https://apm.example.org";
  const preflight = { method: "OPTIONS", headers: { origin, "access-control-request-method": "GET" } };

  test("is off unless origins are set", async () => {
    const { headers } = await get(app, "/health", { headers: { origin } });
    expect(headers.get("access-control-allow-origin")).toBeNull();
    expect((await get(app, "/query/spans", preflight)).status).toBe(405);
  });

  test("allows the origins that are set and no others, also on errors", async () => {
    const open = testApp(away, { corsAllowedOrigins: [origin, "http://localhost:5173"] });
    for (const path of ["/health", "/nowhere", "/query/spans?size=0", "/query/spans"]) {
      const { headers } = await get(open, path, { headers: { origin } });
      expect(headers.get("access-control-allow-origin")).toBe(origin);
      expect(headers.get("vary")).toContain("Origin");
    }
    const other = await get(open, "/health", { headers: { origin: "https://evil.example" } });
    expect(other.headers.get("access-control-allow-origin")).toBeNull();
    const answer = await get(open, "/query/spans", preflight);
    expect(answer.status).toBe(204);
    expect(answer.headers.get("access-control-allow-origin")).toBe(origin);
    expect(answer.headers.get("access-control-allow-methods")).toBe("GET,HEAD");
  });

  test("with * allows any", async () => {
    const open = testApp(away, { corsAllowedOrigins: ["*"] });
    const { headers } = await get(open, "/health", { headers: { origin } });
    expect(headers.get("access-control-allow-origin")).toBe("*");
  });
});

describe("the trace of a request", () => {
  const TRACEPARENT = `00-${TRACE}-b7ad6b7169203331-01`;
  const PATHS = ["/health", "/ready", "/metrics", "/nowhere", "/query/spans", "/query/spans?size=0"];

  test.each(PATHS)("%s answers with it, the caller's where it sent one", async (path) => {
    const { headers } = await get(app, path, { headers: { traceparent: TRACEPARENT } });
    expect(headers.get("x-trace-id")).toBe(TRACE);
    const own = (await get(app, path)).headers.get("x-trace-id");
    expect(own).toMatch(/^[\da-f]{32}$/);
    expect((await get(app, path)).headers.get("x-trace-id")).not.toBe(own);
    const broken = await get(app, path, { headers: { traceparent: "00-x-y-z" } });
    expect(broken.headers.get("x-trace-id")).toMatch(/^[\da-f]{32}$/);
  });

  test("is in the one line that is logged of each request, at a level that fits what it cost", async () => {
    const logger = createLogger("query-api tests", "silent");
    const lines: [level: string, line: unknown][] = [];
    for (const level of ["debug", "info", "warn", "error"] as const) {
      spyOn(logger, level).mockImplementation((line: unknown) => {
        lines.push([level, line]);
      });
    }
    const logging = testApp(away, { logger });
    for (const path of ["/health", "/query/spans?size=0", "/query/logs", `/query/traces/${TRACE}`]) {
      await get(logging, path, { headers: { traceparent: TRACEPARENT } });
    }
    const common = { trace_id: TRACE, parent_span_id: "b7ad6b7169203331", duration_ms: expect.any(Number) };
    const away503 = { ...common, status: 503, err: expect.anything() };
    expect(lines).toMatchObject([
      ["debug", { ...common, route: "/health", status: 200, method: "GET" }],
      ["debug", { ...common, route: "/query/spans", status: 400 }],
      ["warn", { ...away503, route: "/query/logs" }],
      ["warn", { ...away503, route: "/query/traces/:traceId", path: `/query/traces/${TRACE}` }],
    ]);
  });
});
