import { createHash } from "node:crypto";
import type { Registry } from "@timespan/runtime/metrics";
import type { ClientRequest, Gate, Refusal } from "./gate.ts";
import pageText from "./page.html" with { type: "text" };

/** A whole answer, the same on every engine. */
export interface AdminAnswer {
  status: number;
  headers: Readonly<Record<string, string>>;
  body: string;
}

export interface RequestParts {
  gate: Gate;
  registry: Registry;
  wsPath: string;
  /** Whether errors arrive. */
  live(): boolean;
}

/** The compiler takes every HTML file for a bundle of Bun's; this one is imported as its text. */
const page = String(pageText);

/** The hash by which a policy lets exactly the `<script>` or `<style>` of the page through. */
function hashOf(element: "script" | "style"): string {
  const text = new RegExp(`<${element}>([\\s\\S]*?)</${element}>`).exec(page)?.[1] ?? "";
  return `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
}

/** Everything on the page is in the page: nothing is loaded from elsewhere, and nothing else may run in it. */
const PAGE_HEADERS = {
  "content-type": "text/html; charset=utf-8",
  "content-security-policy": [
    "default-src 'none'",
    `script-src ${hashOf("script")}`,
    `style-src ${hashOf("style")}`,
    "img-src data:",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join("; "),
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cache-control": "no-cache",
} as const;

/**
 * Answers everything but streams. Where keys are needed, readiness and metrics need one; the page has nothing to hide,
 * and asks for the key itself.
 */
export async function answerRequest(request: ClientRequest, parts: RequestParts): Promise<AdminAnswer> {
  if (request.method !== "GET" && request.method !== "HEAD") {
    return refusalAnswer({ status: 405, detail: "method not allowed", headers: { allow: "GET, HEAD" } });
  }
  switch (request.path) {
    case "/":
      return { status: 200, headers: PAGE_HEADERS, body: page.replace("{{ws_path}}", parts.wsPath) };
    case "/health":
      return statusAnswer(200, "ok");
    case "/ready":
    case "/metrics":
      break;
    default:
      return statusAnswer(404, `nothing here; errors are at ${parts.wsPath}`);
  }
  const checked = await parts.gate.checkKey(request);
  if ("status" in checked) return refusalAnswer(checked);
  if (request.path === "/metrics") {
    const { contentType } = parts.registry;
    return { status: 200, headers: { "content-type": contentType }, body: await parts.registry.metrics() };
  }
  return parts.live()
    ? statusAnswer(200, "ready")
    : statusAnswer(503, "not following the topic of errors yet");
}

/** A refusal as an answer. */
export function refusalAnswer({ status, detail, headers }: Refusal): AdminAnswer {
  return statusAnswer(status, detail, headers);
}

function statusAnswer(
  status: number,
  text: string,
  headers: Readonly<Record<string, string>> = {},
): AdminAnswer {
  return {
    status,
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify({ status: text }),
  };
}
