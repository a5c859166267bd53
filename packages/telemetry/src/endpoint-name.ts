/** Longest endpoint that is kept; a longer one is cut, as it can only be a path full of ids of another kind. */
export const ENDPOINT_CHARACTERS_MAX = 255;

const UUID = /^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$/i;
const NUMBER = /^\d+$/;
/** Hex of at least eight digits with a decimal digit among them, so that words such as "facade" stay. */
const HEX = /^(?=.*\d)[0-9a-f]{8,}$/i;
/** A path without a digit holds no number, uuid or hex: most need not be taken apart. */
const HAS_DIGIT = /\d/;

/** Paths whose normal form is remembered; beyond it the memory starts afresh, which costs only time. */
const REMEMBERED_MAX = 10_000;
const remembered = new Map<string, string>();

/** `path` without its query, each segment that is a number, uuid or hex string replaced by a placeholder. */
export function normalizePath(path: string): string {
  const seen = remembered.get(path);
  if (seen !== undefined) return seen;
  const end = path.search(/[?#]/);
  const bare = end === -1 ? path : path.slice(0, end);
  if (!HAS_DIGIT.test(bare)) return bare;
  const known = remembered.get(bare);
  if (known !== undefined) return known;
  const normal = bare
    .split("/")
    .map((segment) =>
      NUMBER.test(segment)
        ? "{number}"
        : UUID.test(segment)
          ? "{uuid}"
          : HEX.test(segment)
            ? "{hex}"
            : segment,
    )
    .join("/");
  if (remembered.size >= REMEMBERED_MAX) remembered.clear();
  remembered.set(bare, normal);
  return normal;
}

/**
 * The name under which calls of one kind are counted: method and route of an HTTP call, otherwise the span's name.
 * @param route `http.route`, which has placeholders already
 */
export function endpointName(
  spanName: string,
  httpMethod: string | null,
  route: string | undefined,
  httpPath: string | null,
): string {
  // A path or name that is nothing but a query or fragment says nothing.
  const path = route ?? (httpPath === null ? "" : normalizePath(httpPath));
  const name =
    path === "" ? normalizePath(spanName) || spanName : httpMethod === null ? path : `${httpMethod} ${path}`;
  return name.length <= ENDPOINT_CHARACTERS_MAX
    ? name
    : name.slice(0, ENDPOINT_CHARACTERS_MAX).toWellFormed();
}
