import type { KeyRefusal, VerifyKey } from "@timespan/store/api-keys/key-verifier";
import { FULL_ACCESS } from "@timespan/telemetry/access";
import { bearerToken, hasScope } from "@timespan/telemetry/api-key";
import type { MiddlewareHandler } from "hono";
import type { ApiEnv } from "./api-env.ts";
import { problemResponse, unavailable } from "./problem.ts";

/** The only path that asks for no key: something has to tell whether the process lives. */
const OPEN_PATH = "/health";

const REASONS: Readonly<Record<Exclude<KeyRefusal, "busy">, string>> = {
  malformed: "what was sent is not an API key of Timespan",
  unknown: "this API key is not known",
  expired: "this API key has expired",
  revoked: "this API key was revoked",
};

/** Lets everybody see everything: for where only programs on this machine can connect. */
export const allowEverybody: MiddlewareHandler<ApiEnv> = async (c, next) => {
  c.set("access", FULL_ACCESS);
  await next();
};

/** Asks every request but `/health` for a key with scope `read`, as RFC 6750 has it. */
export function requireKey(
  verifyKey: VerifyKey,
  onRefused: (reason: KeyRefusal | "missing" | "scope") => void,
): MiddlewareHandler<ApiEnv> {
  return async (c, next) => {
    if (c.req.path === OPEN_PATH) return next();
    const token = bearerToken(c.req.header("authorization"));
    if (token === undefined) {
      onRefused("missing");
      return unauthenticated("Send an API key, as in Authorization: Bearer tsp_…");
    }
    const verdict = await verifyKey(token);
    if (!verdict.ok) {
      onRefused(verdict.reason);
      if (verdict.reason === "busy") return unavailable("too_many_requests_in_flight");
      const reason = REASONS[verdict.reason];
      return unauthenticated(`${reason[0]?.toUpperCase()}${reason.slice(1)}.`, reason);
    }
    const { key } = verdict;
    c.set("key", key);
    c.set("access", key.access);
    if (hasScope(key.scopes, "read")) return next();
    onRefused("scope");
    return problemResponse(
      "insufficient_scope",
      "This API key was not made to read: it lacks the scope read.",
      {
        headers: { "www-authenticate": challenge(`error="insufficient_scope", scope="read"`) },
      },
    );
  };
}

function unauthenticated(detail: string, reason?: string): Response {
  const parameters = reason === undefined ? "" : `error="invalid_token", error_description="${reason}"`;
  return problemResponse("unauthenticated", detail, {
    headers: { "www-authenticate": challenge(parameters) },
  });
}

function challenge(parameters: string): string {
  return `Bearer realm="timespan"${parameters === "" ? "" : `, ${parameters}`}`;
}
