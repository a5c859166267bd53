import { createAnswerCache } from "@timespan/cache/answer-cache";
import type { RedisStore } from "@timespan/cache/redis-store";
import type { Clock } from "@timespan/runtime/clock";
import type { Logger } from "@timespan/runtime/logger";
import type { Registry } from "@timespan/runtime/metrics";
import type { VerifyKey } from "@timespan/store/api-keys/key-verifier";
import type { Database } from "@timespan/store/database";
import type { RollupOptions, RollupUse, RollupWatermarks } from "@timespan/store/query/request-segments";
import { readRollupWatermarks } from "@timespan/store/query/stored-rollups";
import { Hono, type MiddlewareHandler } from "hono";
import { cors } from "hono/cors";
import { methodNotAllowed } from "hono/method-not-allowed";
import packageJson from "../package.json" with { type: "json" };
import type { ApiEnv } from "./api-env.ts";
import { allowEverybody, requireKey } from "./authenticate.ts";
import { type MetricRoute, type MetricSchema, type MetricSettings, metricRoute } from "./metric-request.ts";
import { openApiDocument } from "./openapi.ts";
import { OPERATIONS } from "./operations.ts";
import { URL_CHARACTERS_MAX } from "./parameters.ts";
import { problemOfError, problemResponse } from "./problem.ts";
import { limitRate } from "./rate-limit.ts";
import { limitRequests } from "./request-limits.ts";
import { createRequestMetrics, type RequestMetrics } from "./request-metrics.ts";
import { requestTelemetry } from "./request-telemetry.ts";
import { apiDocsFileRoute, apiDocsRoute } from "./routes/api-docs.ts";
import { endpointTracesOperation, endpointTracesRoute } from "./routes/endpoint-traces.ts";
import { endpointsOperation, endpointsRoute } from "./routes/endpoints.ts";
import { healthRoute } from "./routes/health.ts";
import { logsOperation, logsRoute } from "./routes/logs.ts";
import { metricsRoute } from "./routes/metrics.ts";
import { openApiRoute } from "./routes/openapi.ts";
import { readyRoute } from "./routes/ready.ts";
import { retentionOperation, retentionRoute } from "./routes/retention.ts";
import { serviceMapOperation, serviceMapRoute } from "./routes/service-map.ts";
import { serviceMapDiffOperation, serviceMapDiffRoute } from "./routes/service-map-diff.ts";
import { serviceMetricsOperation, serviceMetricsRoute } from "./routes/service-metrics.ts";
import { serviceTracesOperation, serviceTracesRoute } from "./routes/service-traces.ts";
import { servicesOperation, servicesRoute } from "./routes/services.ts";
import { spansOperation, spansRoute } from "./routes/spans.ts";
import { traceOperation, traceRoute } from "./routes/trace.ts";

export interface AppOptions {
  /** Opened `readOnly`, with the rights of `timespan_reader`. */
  database: Database;
  /** Absent where everybody may ask. */
  keys: KeySettings | undefined;
  /** Absent where no answers are kept. */
  redis: RedisStore | undefined;
  clock: Clock;
  logger: Logger;
  registry: Registry;
  /** The limit of one statement, as the database enforces it, in milliseconds. */
  queryTimeoutMs: number;
  corsAllowedOrigins: readonly string[];
  ingestLagMaxSeconds: number;
  metrics: MetricSettings;
}

export interface KeySettings {
  verify: VerifyKey;
  /** Requests of one key; absent for any number. */
  requestsPerMinute: number | undefined;
}

/** How old what is known of the rollups may be: until it is looked up again, what was stored since is read raw. */
const WATERMARKS_KEPT_MS = 2_000;

/** The API as a portable fetch handler: `createApp(…).fetch(request)`. */
export function createApp(options: AppOptions): Hono<ApiEnv> {
  const { database, clock, logger, registry } = options;
  const metrics = createRequestMetrics(registry);
  const app = new Hono<ApiEnv>({ strict: false });

  app.use(requestTelemetry(metrics, logger, clock));
  if (options.corsAllowedOrigins.length > 0) app.use(allowOrigins(options.corsAllowedOrigins));
  app.use(answerHeaders);
  app.use(limitUrl);
  for (const middleware of keyMiddlewares(options, metrics)) app.use(middleware);
  app.use(
    methodNotAllowed({
      app,
      onMethodNotAllowed: (c, methods) =>
        problemResponse("method_not_allowed", `${c.req.method} is not possible here.`, {
          headers: { allow: methods.join(", ") },
        }),
    }),
  );
  app.use(
    "/query/*",
    limitRequests({
      database,
      clock,
      statementTimeoutMs: options.queryTimeoutMs,
      onTurnedAway: (reason) => metrics.turnedAway.inc({ reason }),
    }),
  );

  const cache = createAnswerCache({
    store: options.redis,
    clock,
    logger,
    onOutcome: (outcome) => metrics.cacheAnswers.inc({ outcome }),
    onTooLarge: () => metrics.cacheTooLarge.inc(),
  });
  const metric = <S extends MetricSchema, Q extends object, A extends object>(route: MetricRoute<S, Q, A>) =>
    metricRoute(route, { database, cache, settings: options.metrics, clock });
  const rollups = whereStored(database, options.metrics.rollups, clock);

  app.get("/health", healthRoute());
  app.get("/ready", readyRoute({ database, logger, ingestLagMaxSeconds: options.ingestLagMaxSeconds }));
  app.get("/metrics", metricsRoute(registry));
  app.get(traceOperation.path, traceRoute());
  app.get(spansOperation.path, spansRoute(clock));
  app.get(logsOperation.path, logsRoute(clock));
  app.get(servicesOperation.path, metric(servicesRoute(rollups)));
  app.get(serviceMetricsOperation.path, metric(serviceMetricsRoute(rollups)));
  app.get(endpointsOperation.path, metric(endpointsRoute(rollups)));
  // A proxy may have undone the percent encoding of slashes in the name of an endpoint.
  app.get(endpointTracesOperation.path, metric(endpointTracesRoute(rollups)));
  app.get(serviceTracesOperation.path, serviceTracesRoute(clock));
  app.get(serviceMapOperation.path, metric(serviceMapRoute(rollups)));
  app.get(serviceMapDiffOperation.path, serviceMapDiffRoute(clock));
  app.get(retentionOperation.path, retentionRoute());

  app.get("/openapi.json", openApiRoute(openApiDocument(OPERATIONS, packageJson.version)));
  app.get("/api-docs", apiDocsRoute());
  app.get("/api-docs/:file", apiDocsFileRoute());

  app.notFound(() => problemResponse("not_found", "There is nothing at this path."));
  app.onError(problemOfError);
  return app;
}

/** Which rollups may be read and up to when, as of at most {@link WATERMARKS_KEPT_MS} ago. */
function whereStored(database: Database, rollups: RollupOptions, clock: Clock): () => Promise<RollupUse> {
  let known: { atMs: number; storedUntilUs: Promise<RollupWatermarks> } | undefined;
  return async () => {
    if (!rollups.enabled) return { ...rollups, storedUntilUs: { service: {}, endpoint: {} } };
    const nowMs = clock.nowMs();
    if (known === undefined || nowMs - known.atMs > WATERMARKS_KEPT_MS) {
      const asked = { atMs: nowMs, storedUntilUs: readRollupWatermarks(database) };
      known = asked;
      asked.storedUntilUs.catch(() => {
        if (known === asked) known = undefined;
      });
    }
    return { ...rollups, storedUntilUs: await known.storedUntilUs };
  };
}

function keyMiddlewares(
  { keys, clock }: AppOptions,
  { refusedKeys, turnedAway }: RequestMetrics,
): MiddlewareHandler<ApiEnv>[] {
  if (keys === undefined) return [allowEverybody];
  const key = requireKey(keys.verify, (reason) => refusedKeys.inc({ reason }));
  if (keys.requestsPerMinute === undefined) return [key];
  return [key, limitRate(clock, keys.requestsPerMinute, () => turnedAway.inc({ reason: "rate" }))];
}

function allowOrigins(origins: readonly string[]): MiddlewareHandler {
  return cors({
    origin: origins.includes("*") ? "*" : [...origins],
    allowMethods: ["GET", "HEAD"],
    exposeHeaders: ["ETag", "RateLimit", "RateLimit-Policy", "Retry-After", "WWW-Authenticate", "X-Trace-Id"],
    maxAge: 600,
  });
}

/** Answers change with every batch that is stored, and are JSON whatever a label may contain. */
const answerHeaders: MiddlewareHandler = async (c, next) => {
  await next();
  if (!c.res.headers.has("cache-control")) c.res.headers.set("cache-control", "no-store");
  c.res.headers.set("x-content-type-options", "nosniff");
};

const limitUrl: MiddlewareHandler = async (c, next) => {
  if (c.req.url.length <= URL_CHARACTERS_MAX) return next();
  return problemResponse("url_too_long", `The URL must have at most ${URL_CHARACTERS_MAX} characters.`);
};
