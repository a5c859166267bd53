/**
 * What a failed statement means for the one who sent it:
 * - `refused`: the rows themselves are the reason; sent again, they fail again.
 * - `retry`: the server was away, busy or in conflict; the same statement may succeed later.
 * - `missing_partition`: as `retry`, once `maintainStorage` has made the partition that the rows belong to.
 * - `timeout`: the statement ran into its own limit.
 * - `unknown`: none of these; a bug of ours or a database that is not what we think.
 */
export type DatabaseErrorKind = "refused" | "retry" | "missing_partition" | "timeout" | "unknown";

/** SQLSTATE classes and codes, from PostgreSQL's appendix A. The longest match counts. */
const KIND_BY_SQLSTATE: readonly [prefix: string, kind: DatabaseErrorKind][] = [
  ["22", "refused"], // data exception
  ["23", "refused"], // integrity constraint violation
  ["54", "refused"], // program limit exceeded: index row too large, too deep, too many
  ["08", "retry"], // connection exception
  ["40", "retry"], // serialisation failure, deadlock
  ["53", "retry"], // out of memory, disk or connections
  ["55P03", "retry"], // lock not available
  ["55006", "retry"], // object in use
  ["57014", "timeout"], // query cancelled: statement timeout
  ["57P", "retry"], // shutdown, crash recovery, starting up
  ["58", "retry"], // I/O error
  ["25P03", "retry"], // idle in transaction too long
  ["25006", "retry"], // read-only: a failover is under way
  ["XX", "retry"], // internal error, such as "chunk not found" while retention drops it
];

/** Codes of postgres.js and of sockets, where no server answered. */
const CONNECTION_CODES: ReadonlySet<string> = new Set([
  "CONNECTION_CLOSED",
  "CONNECTION_ENDED",
  "CONNECTION_DESTROYED",
  "CONNECT_TIMEOUT",
  "CONNECTION_CONNECT_TIMEOUT",
  "ECONNREFUSED",
  "ECONNRESET",
  "ENOTFOUND",
  "EPIPE",
  "EAI_AGAIN",
  "ETIMEDOUT",
  "EHOSTUNREACH",
  "ERR_STREAM_PREMATURE_CLOSE",
  "ERR_STREAM_DESTROYED",
  "ERR_SOCKET_CLOSED",
  "ENOENT",
]);

export function databaseErrorKind(error: unknown): DatabaseErrorKind {
  const code = sqlState(error);
  if (code === undefined) return "unknown";
  if (CONNECTION_CODES.has(code)) return "retry";
  if (isMissingPartition(error, code)) return "missing_partition";
  const matches = KIND_BY_SQLSTATE.filter(([prefix]) => code.startsWith(prefix));
  return matches.sort(([a], [b]) => b.length - a.length)[0]?.[1] ?? "unknown";
}

/** SQLSTATE of a server's error, or the connection's error code; `undefined` where the error has none. */
export function sqlState(error: unknown): string | undefined {
  if (typeof error !== "object" || error === null || !("code" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}

/** "No partition of relation found for row" shares its code with check constraints, which alone have a name. */
function isMissingPartition(error: unknown, code: string): boolean {
  return code === "23514" && !(error as { constraint_name?: string }).constraint_name;
}
