import type { CacheOutcome } from "@timespan/cache/answer-cache";
import type { VerifiedKey } from "@timespan/store/api-keys/key-verifier";
import type { Database } from "@timespan/store/database";
import type { Access } from "@timespan/telemetry/access";

/** What every request of the API carries besides itself, for Hono's context. */
export interface ApiEnv {
  Variables: {
    /** Of the caller; every query is held to it. */
    access: Access;
    /** Absent where no key is needed. */
    key: VerifiedKey | undefined;
    /** Aborts when the client is gone or the request has had its time. */
    signal: AbortSignal;
    /** Its statements end with `signal`. */
    database: Database;
    facts: RequestFacts;
  };
}

/** What a request learns on its way, for the line that is logged about it. */
export interface RequestFacts {
  /** What the cache did for it. */
  cache?: CacheOutcome;
  /** Where the answer came from. */
  source?: string | undefined;
  /** Items of the answer. */
  rows?: number;
}
