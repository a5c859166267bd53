import { storableText } from "../../rejection.ts";
import { NAME_CHARACTERS_MAX } from "../event-fields.ts";
import type { Attributes } from "./export-request.ts";

/** The method of a span's HTTP call, by the current and by the older semantic conventions. */
export function httpMethodOf(attributes: Attributes): string | null {
  const method = textOf(attributes, "http.request.method") ?? textOf(attributes, "http.method");
  return method !== undefined && method.length <= NAME_CHARACTERS_MAX ? storableText(method) : null;
}

/** The path of a span's HTTP call without its query: from the path, the older request target, or a whole URL. */
export function httpPathOf(attributes: Attributes): string | null {
  const target = textOf(attributes, "url.path") ?? textOf(attributes, "http.target");
  if (target !== undefined) return storableText(withoutQuery(target)) || null;
  const url = textOf(attributes, "url.full") ?? textOf(attributes, "http.url");
  return url === undefined ? null : storableText(pathOfUrl(url)) || null;
}

export function httpStatusCodeOf(attributes: Attributes): number | null {
  const given = attributes["http.response.status_code"] ?? attributes["http.status_code"];
  const code = typeof given === "string" && /^\d{3}$/.test(given) ? Number(given) : given;
  return typeof code === "number" && Number.isInteger(code) && code >= 0 && code <= 999 ? code : null;
}

function textOf(attributes: Attributes, key: string): string | undefined {
  const value = attributes[key];
  return typeof value === "string" && value !== "" ? value : undefined;
}

function withoutQuery(target: string): string {
  const end = target.search(/[?#]/);
  return end === -1 ? target : target.slice(0, end);
}

/** Of a URL as clients write it, which need not be one that a parser takes. */
function pathOfUrl(url: string): string {
  const bare = withoutQuery(url);
  const authority = bare.indexOf("://");
  if (authority === -1) return bare;
  const path = bare.indexOf("/", authority + 3);
  return path === -1 ? "/" : bare.slice(path);
}
