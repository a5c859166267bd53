import { createHash, randomBytes } from "node:crypto";

/** `read` asks the query API and listens to live errors, `ingest` sends events, `admin` may do both. */
export const API_KEY_SCOPES = ["read", "ingest", "admin"] as const;
export type ApiKeyScope = (typeof API_KEY_SCOPES)[number];

/** Recognised by people and by scanners for leaked secrets. */
export const API_KEY_PREFIX = "tsp_";
const SECRET_BYTES = 32;
const SECRET_CHARACTERS = 43;
/** How much of a key is shown to tell keys apart; more than 200 of its 256 bits stay unknown. */
const HINT_CHARACTERS = API_KEY_PREFIX.length + 6;

const API_KEY = new RegExp(`^${API_KEY_PREFIX}[A-Za-z0-9_-]{${SECRET_CHARACTERS}}$`);

/** A new key: the prefix and 256 random bits in base64url. */
export function generateApiKey(): string {
  return `${API_KEY_PREFIX}${randomBytes(SECRET_BYTES).toString("base64url")}`;
}

export function isApiKey(text: string): boolean {
  return API_KEY.test(text);
}

/** The beginning of a key, by which its owner recognises it. */
export function apiKeyHint(key: string): string {
  return key.slice(0, HINT_CHARACTERS);
}

/**
 * What is stored of a key: its SHA-256. A slow, salted hash protects secrets that people choose, because those can be
 * guessed; of 256 random bits none can, so a slow hash would only make each request slower.
 */
export function hashApiKey(key: string): Buffer {
  return createHash("sha256").update(key).digest();
}

/**
 * The token of an `Authorization: Bearer …` header (RFC 6750), whatever it may be; `undefined` where the header is
 * absent or of another scheme.
 */
export function bearerToken(authorization: string | null | undefined): string | undefined {
  return /^bearer +(.*)$/i.exec(authorization ?? "")?.[1]?.trim();
}

export function hasScope(scopes: readonly ApiKeyScope[], needed: ApiKeyScope): boolean {
  return scopes.includes(needed) || scopes.includes("admin");
}
