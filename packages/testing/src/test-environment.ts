/**
 * The servers that integration tests run against. `bun run test` starts them and passes where they are; a test never
 * starts what all of them share.
 */
export type TestEngine = "postgres" | "timescaledb";

export interface TestEnvironment {
  kafkaBrokers: string[];
  redis: { host: string; port: number } | undefined;
  /** Superuser's URL of each engine that is there. */
  databases: Partial<Record<TestEngine, string>>;
}

/** Name of the variable that carries the environment as JSON. */
export const TEST_ENVIRONMENT_VARIABLE = "TIMESPAN_TEST_ENVIRONMENT";

/** @throws {Error} that says how to run the tests, where no servers were started for them */
export function testEnvironment(): TestEnvironment {
  const text = process.env[TEST_ENVIRONMENT_VARIABLE];
  if (text === undefined) {
    throw new Error("integration tests need servers: run them by `bun run test [part of a file's path]`");
  }
  return JSON.parse(text);
}

/**
 * Both engines, with whether each is there. A suite is registered for an absent engine too, as skipped, so that what
 * did not run is counted.
 */
export function testEngines(): { engine: TestEngine; present: boolean }[] {
  const { databases } = testEnvironment();
  return (["postgres", "timescaledb"] as const).map((engine) => ({
    engine,
    present: databases[engine] !== undefined,
  }));
}
