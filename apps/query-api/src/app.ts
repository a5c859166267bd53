import type { Clock } from "@timespan/runtime/clock";
import type { Logger } from "@timespan/runtime/logger";
import type { Registry } from "@timespan/runtime/metrics";
import type { Database } from "@timespan/store/database";
import type { RollupUse } from "@timespan/store/query/request-segments";
import { rollupsAreStored } from "@timespan/store/query/stored-rollups";
import { FULL_ACCESS } from "@timespan/telemetry/access";
import { Hono, type MiddlewareHandler } from "hono";
import { cors } from "hono/cors";
import { methodNotAllowed } from "hono/method-not-allowed";
import type { ApiEnv } from "./api-env.ts";
import { type MetricRoute, type MetricSchema, type MetricSettings, metricRoute } from "./metric-request.ts";
import { URL_CHARACTERS_MAX } from "./parameters.ts";
import { problemOfError, problemResponse, queryTimeout, unavailable } from "./problem.ts";
import { createRequestMetrics } from "./request-metrics.ts";
import { endpointTracesRoute } from "./routes/endpoint-traces.ts";
import { endpointsRoute } from "./routes/endpoints.ts";
import { healthRoute } from "./routes/health.ts";
import { logsRoute } from "./routes/logs.ts";
import { metricsRoute } from "./routes/metrics.ts";
import { readyRoute } from "./routes/ready.ts";
import { serviceMetricsRoute } from "./routes/service-metrics.ts";
import { serviceTracesRoute } from "./routes/service-traces.ts";
import { servicesRoute } from "./routes/services.ts";
import { spansRoute } from "./routes/spans.ts";
import { traceRoute } from "./routes/trace.ts";

/** Queries that may run or wait for a connection at once; more would only wait longer. */
export const QUERIES_IN_FLIGHT_MAX = 200;
/** What a request may take beyond one statement's limit: waiting for a connection, and a second statement. */
const DEADLINE_MARGIN_MS = 5_000;

export interface AppOptions {
  /** Opened with the rights of `timespan_reader`. */
  database: Database;
  clock: Clock;
  logger: Logger;
  registry: Registry;
  /** The limit of one statement, as the database enforces it, in milliseconds. */
  queryTimeoutMs: number;
  corsAllowedOrigins: readonly string[];
  ingestLagMaxSeconds: number;
  metrics: MetricSettings;
}

/** The API as a portable fetch handler: `createApp(…).fetch(request)`. */
export function createApp(options: AppOptions): Hono<ApiEnv> {
  const { database, clock, logger, registry } = options;
  const metrics = createRequestMetrics(registry, clock);
  const app = new Hono<ApiEnv>({ strict: false });

  app.use(metrics.middleware);
  if (options.corsAllowedOrigins.length > 0) app.use(allowOrigins(options.corsAllowedOrigins));
  app.use(answerHeaders);
  app.use(
    methodNotAllowed({
      app,
      onMethodNotAllowed: (c, methods) =>
        problemResponse("method_not_allowed", `${c.req.method} is not possible here.`, {
          headers: { allow: methods.join(", ") },
        }),
    }),
  );
  app.use(limitUrl);
  app.use("/query/*", async (c, next) => {
    c.set("access", FULL_ACCESS);
    await next();
  });
  app.use(
    "/query/*",
    limitQueries(clock, options.queryTimeoutMs + DEADLINE_MARGIN_MS, (reason) =>
      metrics.turnedAway.inc({ reason }),
    ),
  );

  const metric = <S extends MetricSchema, Q extends object, A extends object>(route: MetricRoute<S, Q, A>) =>
    metricRoute(route, options.metrics, clock);
  const rollups = whereStored(database, options.metrics.rollups);

  app.get("/health", healthRoute());
  app.get("/ready", readyRoute({ database, logger, ingestLagMaxSeconds: options.ingestLagMaxSeconds }));
  app.get("/metrics", metricsRoute(registry));
  app.get("/query/traces/:traceId", traceRoute(database));
  app.get("/query/spans", spansRoute({ database, clock }));
  app.get("/query/logs", logsRoute({ database, clock }));
  app.get("/query/services", metric(servicesRoute(database, rollups)));
  app.get("/query/services/:serviceName/metrics", metric(serviceMetricsRoute(database, rollups)));
  app.get("/query/services/:serviceName/endpoints", metric(endpointsRoute(database, rollups)));
  // A proxy may have undone the percent encoding of slashes in the name of an endpoint.
  app.get(
    "/query/services/:serviceName/endpoints/:endpointName{.+}/traces",
    metric(endpointTracesRoute(database, rollups)),
  );
  app.get("/query/services/:serviceName/traces", serviceTracesRoute({ database, clock }));

  app.notFound(() => problemResponse("not_found", "There is nothing at this path."));
  app.onError((err, c) => {
    const answer = problemOfError(err);
    const log = { err, method: c.req.method, path: c.req.path, status: answer.status };
    if (answer.status >= 500 && answer.status !== 503) logger.error(log, "a request failed");
    else logger.warn(log, "a request could not be answered");
    return answer;
  });
  return app;
}

/** Which rollups may be read, once the database has said whether it stores any. */
function whereStored(database: Database, rollups: RollupUse): () => Promise<RollupUse> {
  let known: RollupUse | undefined;
  return async () => {
    known ??= { ...rollups, enabled: rollups.enabled && (await rollupsAreStored(database)) };
    return known;
  };
}

function allowOrigins(origins: readonly string[]): MiddlewareHandler {
  return cors({
    origin: origins.includes("*") ? "*" : [...origins],
    allowMethods: ["GET", "HEAD"],
    exposeHeaders: ["Retry-After"],
    maxAge: 600,
  });
}

/** Answers change with every batch that is stored, and are JSON whatever a label may contain. */
const answerHeaders: MiddlewareHandler = async (c, next) => {
  await next();
  c.res.headers.set("cache-control", "no-store");
  c.res.headers.set("x-content-type-options", "nosniff");
};

const limitUrl: MiddlewareHandler = async (c, next) => {
  if (c.req.url.length <= URL_CHARACTERS_MAX) return next();
  return problemResponse("url_too_long", `The URL must have at most ${URL_CHARACTERS_MAX} characters.`);
};

/** Bounds how many queries are under way and how long a client waits, also for a connection. */
function limitQueries(
  clock: Clock,
  deadlineMs: number,
  onTurnedAway: (reason: "in_flight" | "deadline") => void,
): MiddlewareHandler {
  let inFlight = 0;
  return async (_, next) => {
    if (inFlight >= QUERIES_IN_FLIGHT_MAX) {
      onTurnedAway("in_flight");
      return unavailable("too_many_requests_in_flight");
    }
    inFlight++;
    const answered = new AbortController();
    const inTime = await Promise.race([
      next()
        .then(() => true)
        .finally(() => {
          inFlight--;
        }),
      clock.sleep(deadlineMs, answered.signal).then(() => false),
    ]).finally(() => answered.abort());
    if (inTime) return;
    onTurnedAway("deadline");
    return queryTimeout();
  };
}
