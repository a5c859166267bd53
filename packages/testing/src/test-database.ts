import { closeDatabase, type Database, openDatabase } from "@timespan/store/database";
import { migrate } from "@timespan/store/migrate";
import { maintainStorage } from "@timespan/store/storage/maintain-storage";
import { type StorageSettings, saveStorageSettings } from "@timespan/store/storage/save-storage-settings";
import { type TestEngine, testEnvironment } from "./test-environment.ts";

export interface TestDatabase {
  /** Of a superuser. */
  url: string;
  drop(): Promise<void>;
}

/**
 * A database of its own on a running server, migrated.
 * @throws {Error} where that engine is not there; see `testEngines`
 */
export async function createTestDatabase(engine: TestEngine): Promise<TestDatabase> {
  const server = testEnvironment().databases[engine];
  if (server === undefined) throw new Error(`no ${engine} was started for the tests`);
  const name = `test_${crypto.randomUUID().replaceAll("-", "")}`;
  await runOn(server, `CREATE DATABASE ${name}`);
  const url = new URL(server);
  url.pathname = `/${name}`;
  const migrated = await migrate({ databaseUrl: url.href });
  if (migrated.engine !== engine) throw new Error(`expected ${engine}, the server is ${migrated.engine}`);
  return { url: url.href, drop: () => runOn(server, `DROP DATABASE ${name} WITH (FORCE)`) };
}

/** A pool with all rights, to look at what the product stored. */
export function openAsSuperuser(url: string, statementTimeoutMs = 30_000): Database {
  return openDatabase({ url, applicationName: "timespan tests", poolMax: 3, statementTimeoutMs });
}

const DAY_MS = 86_400_000;

/** What the stream-processor takes where nothing is set. */
export const STORAGE_DEFAULTS: StorageSettings = {
  retentionSpansMs: 7 * DAY_MS,
  retentionLogsMs: 7 * DAY_MS,
  retentionRollup1mMs: 30 * DAY_MS,
  retentionRollup1hMs: 400 * DAY_MS,
  retentionDeadLettersMs: 30 * DAY_MS,
  retentionByEnvironment: [],
  chunkIntervalMs: DAY_MS / 4,
};

/** Saves the defaults with `changes` and applies them, as the stream-processor does at its start. */
export async function applyStorage(writer: Database, changes: Partial<StorageSettings> = {}): Promise<void> {
  await saveStorageSettings(writer, { ...STORAGE_DEFAULTS, ...changes });
  await maintainStorage(writer);
}

async function runOn(server: string, statement: string): Promise<void> {
  const database = openAsSuperuser(server);
  try {
    await database.unsafe(statement);
  } finally {
    await closeDatabase(database);
  }
}
