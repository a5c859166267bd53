import type { Access } from "@timespan/telemetry/access";
import { type ApiKeyScope, apiKeyHint, generateApiKey, hashApiKey } from "@timespan/telemetry/api-key";
import type { Database } from "../database.ts";

export interface NewApiKey {
  name: string;
  scopes: readonly ApiKeyScope[];
  access: Access;
  /** Null for a key that does not expire. */
  expiresAt: Date | null;
}

/**
 * Makes a key. What is returned is the only copy there will ever be: the database keeps its hash.
 * @returns undefined where another key that is not revoked has this name
 * @throws the driver's error where the database is away
 */
export async function createApiKey(
  database: Database,
  { name, scopes, access, expiresAt }: NewApiKey,
): Promise<{ id: number; key: string } | undefined> {
  const key = generateApiKey();
  const [row] = await database<{ id: number }[]>`
INSERT INTO timespan.api_keys (key_hash, key_hint, name, scopes, environments, services, expires_at)
VALUES (
  ${hashApiKey(key)}, ${apiKeyHint(key)}, ${name}, ${[...scopes]}::text[],
  ${listOrNull(access.environments)}::text[], ${listOrNull(access.services)}::text[], ${expiresAt}
)
ON CONFLICT (name) WHERE revoked_at IS NULL DO NOTHING
RETURNING api_key_id AS id`;
  return row === undefined ? undefined : { id: row.id, key };
}

const listOrNull = (names: readonly string[] | null) => (names === null ? null : [...names]);
