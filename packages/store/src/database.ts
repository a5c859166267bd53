import postgres from "postgres";

/** A connection pool. Everything that runs SQL takes one, or a transaction of one. */
export type Database = postgres.Sql;
export type Transaction = postgres.TransactionSql;

/** The roles of the first migration; each app takes the one that may do no more than it needs. */
export type Role = "timespan_writer" | "timespan_reader";

export interface DatabaseOptions {
  url: string;
  /** Absent for the work of a person or a test, which keep the rights of the URL's user. */
  role?: Role;
  /** Shown in `pg_stat_activity`. */
  applicationName: string;
  /** Most connections at once. */
  poolMax: number;
  /** A statement that runs longer is cancelled by the server (SQLSTATE 57014). */
  statementTimeoutMs: number;
  /**
   * Every transaction is read-only, whatever the role may do. A statement then also has its connection to itself, so
   * that a quick one never waits behind a slow one, and cancelling one cannot meet another.
   */
  readOnly?: boolean;
}

const CONNECT_TIMEOUT_SECONDS = 5;
/** A connection is replaced after half an hour, so that servers behind a name can change. */
const CONNECTION_LIFETIME_SECONDS = 1_800;

const RECONNECT_DELAY_SECONDS = 0.25;

const READER_SETTINGS = {
  default_transaction_read_only: true,
  // What is read at random is in memory or on an SSD. At PostgreSQL's 4, meant for disks, the newest failed spans of a
  // service came from the index by time, which holds those of all services: 45 ms instead of 3.
  random_page_cost: 1.1,
  // A plan for any window knows neither which chunks it needs nor which partial index serves. After a few runs the
  // server would take one: 850 ms instead of 60 to count the failed spans of a service.
  plan_cache_mode: "force_custom_plan",
  // A plan over many chunks looks expensive, and compiling it would take longer than the answer.
  jit: false,
};

/** Opens a pool; connections are made when first needed, so this neither waits nor fails. */
export function openDatabase(options: DatabaseOptions): Database {
  return postgres(options.url, {
    max: options.poolMax,
    connect_timeout: CONNECT_TIMEOUT_SECONDS,
    max_lifetime: CONNECTION_LIFETIME_SECONDS,
    // Statements sent before the one under way is answered.
    ...(options.readOnly ? { max_pipeline: 0 } : {}),
    // The driver would wait up to 20 s after a server came back; whoever waits for it has a back-off already.
    backoff: () => RECONNECT_DELAY_SECONDS * (0.5 + Math.random()),
    onnotice: () => {},
    connection: {
      application_name: options.applicationName,
      // Not `SET ROLE` after connecting: a connection that is not yet in its role must not be usable.
      ...(options.role === undefined ? {} : { role: options.role }),
      timezone: "UTC",
      statement_timeout: options.statementTimeoutMs,
      ...(options.readOnly ? READER_SETTINGS : {}),
      // A stopped client must not hold its locks: ten seconds after its last word the server drops its transaction.
      idle_in_transaction_session_timeout: 10_000,
      // The Kafka offset commits in the same transaction, so a commit that a crash loses is consumed again.
      ...(options.role === "timespan_writer" ? { synchronous_commit: "off" } : {}),
    },
  });
}

/** Ends a pool: waits up to `timeoutSeconds` for running statements, then drops them. */
export function closeDatabase(database: Database, timeoutSeconds = 5): Promise<void> {
  return database.end({ timeout: timeoutSeconds });
}
