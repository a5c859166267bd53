import type { ApiKeyScope } from "@timespan/telemetry/api-key";
import type { Database } from "../database.ts";

/** A key as it is needed to decide about a request; null lists mean all. */
export interface FoundApiKey {
  id: number;
  name: string;
  scopes: ApiKeyScope[];
  environments: string[] | null;
  services: string[] | null;
  expires_at: Date | null;
  revoked: boolean;
  /** Whether its last use should be written down again. */
  use_is_stale: boolean;
}

/** `last_used_at` is for people who tidy up: it moves once in so many minutes, not with every request. */
const LAST_USED_MINUTES = 5;

/**
 * The key whose SHA-256 is `keyHash`, whatever its state.
 * @throws the driver's error where the database is away
 */
export async function findApiKey(database: Database, keyHash: Uint8Array): Promise<FoundApiKey | undefined> {
  const [row] = await database<FoundApiKey[]>`
SELECT
  api_key_id AS id,
  name,
  scopes,
  environments,
  services,
  expires_at,
  revoked_at IS NOT NULL AS revoked,
  last_used_at IS NULL OR last_used_at < now() - make_interval(mins => ${LAST_USED_MINUTES}) AS use_is_stale
FROM timespan.api_keys
WHERE key_hash = ${keyHash}`;
  return row;
}

/**
 * Notes that the key was used now.
 * @throws the driver's error where the database is away, or read-only
 */
export async function touchApiKey(database: Database, id: number): Promise<void> {
  await database`UPDATE timespan.api_keys SET last_used_at = now() WHERE api_key_id = ${id}`;
}
