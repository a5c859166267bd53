import type { CachedAnswer } from "@timespan/cache/answer-cache";
import type { Clock } from "@timespan/runtime/clock";
import type { Context } from "hono";

/**
 * The response to `c` that holds `answer`, or a 304 where the client has it already. The client may show it again
 * without asking for `reuseMs` at most: never longer than it is fresh.
 */
export function cachedResponse(c: Context, answer: CachedAnswer, reuseMs: number, clock: Clock): Response {
  const freshMs = Math.max(0, answer.freshUntilMs - clock.nowMs());
  const headers = {
    etag: answer.etag,
    // What one key may see is no answer for another, even in the same browser.
    vary: "Authorization",
    "cache-control": `private, max-age=${Math.floor(Math.min(freshMs, reuseMs) / 1_000)}`,
  };
  return isMatch(c.req.header("if-none-match"), answer.etag)
    ? c.body(null, 304, headers)
    : c.body(answer.body, 200, { ...headers, "content-type": "application/json" });
}

/** `If-None-Match` of RFC 9110: a list of entity tags, compared weakly, or `*`. */
function isMatch(ifNoneMatch: string | undefined, etag: string): boolean {
  if (ifNoneMatch === undefined) return false;
  return ifNoneMatch.split(",").some((each) => {
    const tag = each.trim().replace(/^W\//, "");
    return tag === etag || tag === "*";
  });
}
