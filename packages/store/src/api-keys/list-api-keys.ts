import type { ApiKeyScope } from "@timespan/telemetry/api-key";
import type { Database } from "../database.ts";

export type ApiKeyState = "active" | "expired" | "revoked";

/** A key without its secret. Times are ISO 8601 in UTC; null lists mean all. */
export interface ApiKeyItem {
  id: number;
  name: string;
  /** The first characters of the key. */
  hint: string;
  state: ApiKeyState;
  scopes: ApiKeyScope[];
  environments: string[] | null;
  services: string[] | null;
  created_at: string;
  expires_at: string | null;
  last_used_at: string | null;
  revoked_at: string | null;
}

/** Keys are made by people, one by one; where there are more, the newest are listed. */
export const API_KEYS_LISTED_MAX = 1_000;

/**
 * The newest keys first: those that work, and with `all` also those that are expired or revoked.
 * @throws the driver's error where the database is away
 */
export async function listApiKeys(database: Database, { all }: { all: boolean }): Promise<ApiKeyItem[]> {
  const rows = await database<ApiKeyItem[]>`
SELECT
  api_key_id AS id,
  name,
  key_hint AS hint,
  CASE WHEN revoked_at IS NOT NULL THEN 'revoked' WHEN expires_at <= now() THEN 'expired' ELSE 'active' END AS state,
  scopes,
  environments,
  services,
  to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS created_at,
  to_char(expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS expires_at,
  to_char(last_used_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS last_used_at,
  to_char(revoked_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS revoked_at
FROM timespan.api_keys
WHERE ${all} OR (revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now()))
ORDER BY api_key_id DESC
LIMIT ${API_KEYS_LISTED_MAX}`;
  return [...rows];
}
