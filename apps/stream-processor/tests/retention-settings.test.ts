import { expect, test } from "bun:test";
import { readSettings, SettingsError } from "@timespan/runtime/settings";
import { z } from "zod";
import { retentionSettings, storageSettings } from "../src/retention-settings.ts";

const HOUR_MS = 3_600_000;
const read = (env: Record<string, string>) =>
  storageSettings(readSettings(z.object(retentionSettings), env), env);

function problemsOf(env: Record<string, string>): string {
  try {
    read(env);
  } catch (error) {
    if (error instanceof SettingsError) return error.problems.join("\n");
  }
  return "";
}

test("an environment is named as it is in the rows, whatever its variable can hold of that", () => {
  const { retentionByEnvironment } = read({
    RETENTION_SPANS_DEV: "3d",
    RETENTION_LOGS_LOAD_TEST: "1d",
    RETENTION_LOGS_STAGING: "",
  });
  expect(retentionByEnvironment).toMatchObject([
    { signal: "spans", environmentKey: "development", retentionMs: 72 * HOUR_MS },
    { signal: "logs", environmentKey: "load_test", retentionMs: 24 * HOUR_MS },
  ]);
});

test.each([
  [{ RETENTION_SPANS: "2h" }, /^RETENTION_SPANS lies inside the window in which rollups are refreshed/],
  [{ RETENTION_LOGS_DEVELOPMENT: "90m" }, /^RETENTION_LOGS_DEVELOPMENT lies inside the window/],
  [{ LATE_AFTER: "1d", RETENTION_SPANS: "25h" }, /must be at least 1560m/],
  [{ RETENTION_SPANS_DEVELOPMENT: "8d" }, /must be shorter than RETENTION_SPANS/],
  [{ RETENTION_SPANS_DEVELOPMENT: "soon" }, /RETENTION_SPANS_DEVELOPMENT must be a length of time/],
  [{ RETENTION_SPANS_DEV: "3d", RETENTION_SPANS_DEVELOPMENT: "2d" }, /for the second time/],
  [{ RETENTION_ROLLUP_1M: "5d" }, /RETENTION_ROLLUP_1M must be at least RETENTION_SPANS/],
  [{ RETENTION_ROLLUP_1H: "20d" }, /RETENTION_ROLLUP_1H must be at least RETENTION_ROLLUP_1M/],
] as [Record<string, string>, RegExp][])("%j is refused with a sentence", (env, sentence) => {
  expect(problemsOf(env)).toMatch(sentence);
});

test("everything that is wrong is said at once", () => {
  expect(
    problemsOf({ RETENTION_SPANS: "1h", RETENTION_LOGS_X: "9d", RETENTION_ROLLUP_1H: "1d" }).split("\n"),
  ).toHaveLength(3);
});
