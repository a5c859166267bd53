import type { Database } from "../database.ts";

/**
 * Revokes the key of this id, or the one of this name that is not revoked yet.
 * @returns undefined where there is none, or it was revoked already
 * @throws the driver's error where the database is away
 */
export async function revokeApiKey(
  database: Database,
  key: { id: number } | { name: string },
): Promise<{ id: number; name: string } | undefined> {
  const [row] = await database<{ id: number; name: string }[]>`
UPDATE timespan.api_keys
SET revoked_at = now()
WHERE revoked_at IS NULL
  AND ${"id" in key ? database`api_key_id = ${key.id}` : database`name = ${key.name}`}
RETURNING api_key_id AS id, name`;
  return row;
}
