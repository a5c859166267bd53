import { createApiKey } from "@timespan/store/api-keys/create-api-key";
import { type ApiKeyItem, listApiKeys } from "@timespan/store/api-keys/list-api-keys";
import { revokeApiKey } from "@timespan/store/api-keys/revoke-api-key";
import type { Database } from "@timespan/store/database";
import type { ApiKeyScope } from "@timespan/telemetry/api-key";
import { environmentName } from "@timespan/telemetry/environment-name";
import { CommandError } from "./command-error.ts";

export const KEY_NAME_CHARACTERS_MAX = 100;

export interface CreateOptions {
  name: string;
  scopes: readonly ApiKeyScope[];
  /** As a person writes them; none means all. */
  environments: readonly string[];
  services: readonly string[];
  /** Undefined for a key that does not expire. */
  expiresAt: Date | undefined;
}

/** `key` is what a program may want alone, `explanation` is for the person beside it. */
export interface CreatedKey {
  key: string;
  explanation: string;
}

/**
 * Makes a key.
 * @throws {CommandError} where its name is taken or is none
 */
export async function createKey(database: Database, options: CreateOptions): Promise<CreatedKey> {
  const { name, scopes, services, expiresAt = null } = options;
  if (name.trim() !== name || name === "" || /\p{Cc}/u.test(name) || name.length > KEY_NAME_CHARACTERS_MAX) {
    throw new CommandError(
      `A name has 1 to ${KEY_NAME_CHARACTERS_MAX} characters, none of them invisible or a blank at an end.`,
    );
  }
  if (/^\d+$/.test(name)) throw new CommandError("A name of digits alone would be taken for an id.");
  const access = {
    environments: namesOrAll(options.environments.map(environmentName)),
    services: namesOrAll(services),
  };
  const created = await createApiKey(database, { name, scopes, access, expiresAt });
  if (created === undefined) {
    throw new CommandError(`There is a key named ${name} already. Revoke it first, or choose another name.`);
  }
  return {
    key: created.key,
    explanation: [
      `Key ${created.id}, ${name}, for ${scopes.join(", ")}; environments: ${allOr(access.environments)}; services: ${allOr(access.services)}; ${expiresAt === null ? "it does not expire" : `expires ${expiresAt.toISOString()}`}.`,
      "It is shown once and stored nowhere. Send it as: Authorization: Bearer <key>",
    ].join("\n"),
  };
}

function namesOrAll(names: readonly string[]): readonly string[] | null {
  return names.length === 0 ? null : [...new Set(names)];
}

/** The keys as a table, or as JSON. */
export async function listKeys(
  database: Database,
  { all, json }: { all: boolean; json: boolean },
): Promise<string> {
  const keys = await listApiKeys(database, { all });
  if (json) return JSON.stringify(keys, null, 2);
  return keys.length === 0 ? "No keys." : tableLines(keys).join("\n");
}

/**
 * Revokes a key by its id or name.
 * @throws {CommandError} where there is none that could be revoked
 */
export async function revokeKey(database: Database, idOrName: string): Promise<string> {
  const id = /^\d{1,9}$/.test(idOrName) ? Number(idOrName) : undefined;
  const revoked = await revokeApiKey(database, id === undefined ? { name: idOrName } : { id });
  if (revoked === undefined) {
    throw new CommandError(
      `There is no key ${idOrName} that could be revoked: \`keys list --all\` has them all.`,
    );
  }
  return `Key ${revoked.id}, ${revoked.name}, is revoked. It stops working within seconds.`;
}

const COLUMNS: readonly (readonly [header: string, cell: (key: ApiKeyItem) => string])[] = [
  ["ID", ({ id }) => String(id)],
  ["NAME", ({ name }) => name],
  ["KEY", ({ hint }) => `${hint}…`],
  ["STATE", ({ state }) => state],
  ["SCOPES", ({ scopes }) => scopes.join(",")],
  ["ENVIRONMENTS", ({ environments }) => allOr(environments)],
  ["SERVICES", ({ services }) => allOr(services)],
  ["CREATED", ({ created_at }) => created_at],
  ["EXPIRES", ({ expires_at }) => expires_at ?? "never"],
  ["LAST USED", ({ last_used_at }) => last_used_at ?? "never"],
];

function tableLines(keys: readonly ApiKeyItem[]): string[] {
  const rows = [
    COLUMNS.map(([header]) => header),
    ...keys.map((key) => COLUMNS.map(([, cell]) => cell(key))),
  ];
  const widths = COLUMNS.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
}

function allOr(names: readonly string[] | null): string {
  return names === null ? "all" : names.join(",");
}
