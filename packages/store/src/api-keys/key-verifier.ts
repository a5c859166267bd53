import type { Clock } from "@timespan/runtime/clock";
import type { Access } from "@timespan/telemetry/access";
import { type ApiKeyScope, hashApiKey, isApiKey } from "@timespan/telemetry/api-key";
import type { Database } from "../database.ts";
import { type FoundApiKey, findApiKey, touchApiKey } from "./find-api-key.ts";

/** How long an answer about a key is remembered: so long a revoked key may still work. */
export const KEY_REMEMBERED_MS = 5_000;
/** Keys remembered at once; beyond it the one asked for longest ago is asked for anew. */
const KEYS_REMEMBERED_MAX = 10_000;
/** Look-ups under way at once: who tries out keys must not keep others waiting without end. */
const LOOKUPS_MAX = 100;

/** Who asks, and what they may see. */
export interface VerifiedKey {
  id: number;
  name: string;
  scopes: readonly ApiKeyScope[];
  access: Access;
}

/** `busy`: too many keys are being looked up; the same key may be good a moment later. */
export type KeyRefusal = "malformed" | "unknown" | "expired" | "revoked" | "busy";
export type KeyVerdict = { ok: true; key: VerifiedKey } | { ok: false; reason: KeyRefusal };

/**
 * Says whose key this is.
 * @throws the driver's error where the database is away
 */
export type VerifyKey = (key: string) => Promise<KeyVerdict>;

/**
 * Verifies keys by their hash, and remembers the answers, also that there is no such key, for
 * {@link KEY_REMEMBERED_MS}.
 * @param database with the rights of `timespan_reader`, small and with a short statement limit, so that slow queries
 *   of others do not delay who may ask at all; not read-only, or the last use is not written down
 * @param onTouchFailed told when the last use could not be written down; the key is good all the same
 */
export function createKeyVerifier(
  database: Database,
  clock: Clock,
  onTouchFailed: (err: unknown) => void,
): VerifyKey {
  const remembered = new Map<string, { atMs: number; found: Promise<FoundApiKey | undefined> }>();
  let lookups = 0;

  return async (key) => {
    if (!isApiKey(key)) return { ok: false, reason: "malformed" };
    const hash = hashApiKey(key);
    const found = find(hash);
    return found === undefined ? { ok: false, reason: "busy" } : decide(await found);
  };

  function find(hash: Buffer): Promise<FoundApiKey | undefined> | undefined {
    const id = hash.toString("base64");
    const entry = remembered.get(id);
    if (entry !== undefined && clock.nowMs() - entry.atMs < KEY_REMEMBERED_MS) return entry.found;
    if (lookups >= LOOKUPS_MAX) return undefined;
    remembered.delete(id);
    const found = lookUp(hash);
    // From before the look-up: what is revoked while it is under way counts from then on.
    remembered.set(id, { atMs: clock.nowMs(), found });
    for (const oldest of remembered.keys()) {
      if (remembered.size <= KEYS_REMEMBERED_MAX) break;
      remembered.delete(oldest);
    }
    found.catch(() => {
      if (remembered.get(id)?.found === found) remembered.delete(id);
    });
    return found;
  }

  async function lookUp(hash: Buffer): Promise<FoundApiKey | undefined> {
    lookups++;
    try {
      const found = await findApiKey(database, hash);
      if (found !== undefined && decide(found).ok && found.use_is_stale) {
        touchApiKey(database, found.id).catch(onTouchFailed);
      }
      return found;
    } finally {
      lookups--;
    }
  }

  function decide(found: FoundApiKey | undefined): KeyVerdict {
    if (found === undefined) return { ok: false, reason: "unknown" };
    if (found.revoked) return { ok: false, reason: "revoked" };
    if (found.expires_at !== null && found.expires_at.getTime() <= clock.nowMs()) {
      return { ok: false, reason: "expired" };
    }
    const { id, name, scopes, environments, services } = found;
    return { ok: true, key: { id, name, scopes, access: { environments, services } } };
  }
}
