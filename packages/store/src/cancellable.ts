import type { Database } from "./database.ts";

/**
 * `database`, whose statements are cancelled in the server when `signal` aborts, also those that still wait for a
 * connection; they then reject with the signal's reason. Transactions (`begin`) are not.
 *
 * A request to cancel can come a moment too early or too late to find its statement; the server's own limit on a
 * statement holds all the same.
 * @param database opened as `readOnly`, where no other statement shares the connection of the one that is cancelled
 */
export function cancellable(database: Database, signal: AbortSignal): Database {
  return new Proxy(database, {
    apply(target, self, args) {
      const made: unknown = Reflect.apply(target, self, args);
      if (isQuery(made)) cancelOn(signal, made);
      return made;
    },
  });
}

/** The parts of the driver's query that are needed here. */
interface Query {
  /** Called once, when the query is to run; never for a fragment, which is only part of another. */
  handler(query: Query): void;
  resolve(result: unknown): void;
  reject(err: unknown): void;
  cancel(): void;
}

function isQuery(made: unknown): made is Query {
  return made instanceof Promise && "handler" in made && "cancel" in made;
}

function cancelOn(signal: AbortSignal, query: Query): void {
  const { handler, resolve, reject } = query;
  const cancel = () => query.cancel();
  query.handler = () => {
    if (signal.aborted) return reject(signal.reason);
    signal.addEventListener("abort", cancel, { once: true });
    handler(query);
  };
  query.resolve = (result) => {
    signal.removeEventListener("abort", cancel);
    resolve(result);
  };
  query.reject = (err) => {
    signal.removeEventListener("abort", cancel);
    reject(signal.aborted ? signal.reason : err);
  };
}
