import { closeDatabase, type Database, openDatabase } from "@timespan/store/database";
import { migrate } from "@timespan/store/migrate";
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

async function runOn(server: string, statement: string): Promise<void> {
  const database = openAsSuperuser(server);
  try {
    await database.unsafe(statement);
  } finally {
    await closeDatabase(database);
  }
}
