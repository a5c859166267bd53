import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { envFilePath, readEnvFile, removeEnvFile, writeEnvFile } from "../src/env-file.ts";

const home = mkdtempSync(join(tmpdir(), "timespan-env-file-"));
afterAll(() => rmSync(home, { recursive: true }));

test("what is written is read again, and only the owner may read it", () => {
  const values = {
    DATABASE_URL: "postgres://u:p_-9@127.0.0.1:5433/timespan",
    KAFKA_BROKERS: "127.0.0.1:9092",
  };
  writeEnvFile(home, values);
  expect(readFileSync(envFilePath(home), "utf8")).toBe(
    "DATABASE_URL=postgres://u:p_-9@127.0.0.1:5433/timespan\nKAFKA_BROKERS=127.0.0.1:9092\n",
  );
  expect(readEnvFile(home)).toMatchObject(values);
  expect(statSync(envFilePath(home)).mode & 0o777).toBe(0o600);
  removeEnvFile(home);
  expect(readEnvFile(home)).toBeUndefined();
});
