import { describe, expect, test } from "bun:test";
import { readConfig } from "../src/config.ts";

const DATABASE_URL = "postgres://timespan@db:5432/timespan";

describe("the configuration", () => {
  test("needs only DATABASE_URL", () => {
    expect(readConfig({ DATABASE_URL })).toEqual({
      http: { hostname: "127.0.0.1", port: 3001 },
      authRequired: false,
      requestsPerMinute: 1_200,
      databaseUrl: DATABASE_URL,
      databasePoolMax: 10,
      queryTimeoutMs: 15_000,
      corsAllowedOrigins: [],
      ingestLagMaxSeconds: 60,
      metrics: {
        quantizationMs: 10_000,
        defaultWindowMs: 900_000,
        rollups: { enabled: true, thresholdMs: 300_000 },
        kept: {
          rollups: { prefix: "apm:metrics-rollup", ttlMs: 60_000 },
          others: { prefix: "apm:metrics:v1", ttlMs: 20_000 },
        },
      },
      redis: undefined,
      logLevel: "info",
      warnings: [],
    });
  });

  test("says everything that is wrong with it at once", () => {
    const read = () =>
      readConfig({
        PORT: "70000",
        DATABASE_POOL_MAX: "many",
        QUERY_TIMEOUT_MS: "1.5",
        CORS_ALLOWED_ORIGINS: "https://apm.example.org/, *",
        INGEST_LAG_MAX_SECONDS: "NaN",
        SERVICE_METRICS_DEFAULT_WINDOW_MINUTES: "0",
        METRICS_QUANTIZATION_SECONDS: "0",
        ROLLUP_ENABLED: "perhaps",
        ROLLUP_THRESHOLD_MINUTES: "-1",
        LOG_LEVEL: "loud",
      });
    for (const name of [
      "PORT",
      "DATABASE_URL",
      "DATABASE_POOL_MAX",
      "QUERY_TIMEOUT_MS",
      "CORS_ALLOWED_ORIGINS",
      "INGEST_LAG_MAX_SECONDS",
      "SERVICE_METRICS_DEFAULT_WINDOW_MINUTES",
      "METRICS_QUANTIZATION_SECONDS",
      "ROLLUP_ENABLED",
      "ROLLUP_THRESHOLD_MINUTES",
      "LOG_LEVEL",
    ]) {
      expect(read).toThrow(name);
    }
  });

  test("asks for keys wherever others can connect, unless told otherwise, and warns where it does not", () => {
    const read = (env: Record<string, string>) => {
      const { authRequired, warnings } = readConfig({ DATABASE_URL, ...env });
      return { authRequired, warned: warnings.length > 0 };
    };
    expect(read({ HOST: "0.0.0.0" })).toEqual({ authRequired: true, warned: false });
    expect(read({ HOST: "0.0.0.0", AUTH: "off" })).toEqual({ authRequired: false, warned: true });
    expect(read({ HOST: "localhost" })).toEqual({ authRequired: false, warned: false });
    expect(read({ AUTH: "required" })).toEqual({ authRequired: true, warned: false });
    expect(() => read({ AUTH: "no" })).toThrow("AUTH");
  });

  test("warns of variables of the old backend", () => {
    const { warnings } = readConfig({ DATABASE_URL, ELASTICSEARCH_NODE: "http://es:9200" });
    expect(warnings).toEqual([expect.stringContaining("ELASTICSEARCH_NODE")]);
  });

  test("takes several origins, and *", () => {
    expect(
      readConfig({ DATABASE_URL, CORS_ALLOWED_ORIGINS: "https://a.example, http://localhost:5173" })
        .corsAllowedOrigins,
    ).toEqual(["https://a.example", "http://localhost:5173"]);
    expect(readConfig({ DATABASE_URL, CORS_ALLOWED_ORIGINS: "*" }).corsAllowedOrigins).toEqual(["*"]);
  });
});
