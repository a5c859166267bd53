import { databaseErrorKind, sqlState } from "@timespan/store/database-error";
import type { Problem } from "@timespan/telemetry/api/problem";

/** A parameter that is wrong, and why, in words for the client. */
export interface ParameterProblem {
  name: string;
  reason: string;
}

/** What a client should wait before it asks again, in seconds, where the fault is passing and ours. */
const RETRY_AFTER_SECONDS = 5;

/** What is counted and logged where the client did not wait for its answer; nobody gets it. As nginx has it. */
export const CLIENT_GONE_STATUS = 499;

/** The kinds of problem this API answers with. The identifiers are part of the API: add, never rename. */
const KINDS = {
  invalid_parameters: { status: 400, title: "Invalid parameters" },
  unauthenticated: { status: 401, title: "API key needed" },
  insufficient_scope: { status: 403, title: "Insufficient scope" },
  not_found: { status: 404, title: "Not found" },
  trace_not_found: { status: 404, title: "Trace not found" },
  method_not_allowed: { status: 405, title: "Method not allowed" },
  url_too_long: { status: 414, title: "URL too long" },
  rate_limited: { status: 429, title: "Too many requests" },
  client_gone: { status: CLIENT_GONE_STATUS, title: "Client gone" },
  internal_error: { status: 500, title: "Internal error" },
  database_unavailable: { status: 503, title: "Database unavailable" },
  schema_not_current: { status: 503, title: "Database not migrated" },
  query_timeout: { status: 503, title: "Query took too long" },
  too_many_requests_in_flight: { status: 503, title: "Too many requests in flight" },
} as const;

export type ProblemKind = keyof typeof KINDS;

/** An error answer of RFC 9457. `detail` goes to the client: it must hold nothing internal. */
export function problemResponse(
  kind: ProblemKind,
  detail: string,
  { errors, headers }: { errors?: ParameterProblem[]; headers?: Record<string, string> } = {},
): Response {
  const { status, title } = KINDS[kind];
  const problem: Problem = {
    type: `urn:timespan:problem:${kind}`,
    title,
    status,
    detail,
    ...(errors === undefined ? {} : { errors }),
  };
  return new Response(JSON.stringify(problem), {
    status,
    headers: { "content-type": "application/problem+json", ...headers },
  });
}

export function invalidParameters(errors: ParameterProblem[]): Response {
  const detail =
    errors.length === 1
      ? `${errors[0]?.name} ${errors[0]?.reason}.`
      : `${errors.length} parameters are wrong; see errors.`;
  return problemResponse("invalid_parameters", detail, { errors });
}

export function unavailable(kind: "database_unavailable" | "too_many_requests_in_flight"): Response {
  const detail =
    kind === "database_unavailable"
      ? "The database cannot be reached at the moment. Try again in a few seconds."
      : "More requests are waiting than this instance takes. Try again in a few seconds.";
  return problemResponse(kind, detail, { headers: { "retry-after": String(RETRY_AFTER_SECONDS) } });
}

export function queryTimeout(): Response {
  return problemResponse(
    "query_timeout",
    "The query took longer than it may. Narrow it: a shorter time range (from, to), or a service_name.",
  );
}

/** A request that ended before it was answered, and so did its statements. */
export class RequestEnded extends Error {
  override name = "RequestEnded";
  constructor(readonly reason: "client_gone" | "deadline") {
    super(reason === "deadline" ? "the request took longer than it may" : "the client went away");
  }
}

/** The answer to an error that no route expected. */
export function problemOfError(error: unknown): Response {
  if (error instanceof RequestEnded) {
    return error.reason === "deadline"
      ? queryTimeout()
      : problemResponse("client_gone", "Nobody reads this.");
  }
  if (isSchemaMissing(error)) {
    return problemResponse(
      "schema_not_current",
      "The database is not what this version needs: run the migrations. /ready says which are missing.",
    );
  }
  switch (databaseErrorKind(error)) {
    case "timeout":
      return queryTimeout();
    case "retry":
      return unavailable("database_unavailable");
    default:
      return problemResponse("internal_error", "Something went wrong here. It was logged.");
  }
}

/** SQLSTATEs of a server that answers, but was not migrated, or not for this version. */
const SCHEMA_STATES: ReadonlySet<string> = new Set([
  "22023", // the role does not exist (said while connecting)
  "3F000", // schema does not exist
  "42501", // permission denied
  "42703", // column does not exist
  "42883", // function does not exist
  "42P01", // table does not exist
]);

/** Whether the database answered, but lacks what the migrations make. */
export function isSchemaMissing(error: unknown): boolean {
  return SCHEMA_STATES.has(sqlState(error) ?? "");
}
