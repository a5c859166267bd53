import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { readSettings, SettingsError } from "@timespan/runtime/settings";
import { z } from "zod";
import { kafkaConnection, kafkaSettings, kafkaWarnings } from "../src/kafka-settings.ts";

const page = readFileSync(join(import.meta.dir, "../../../docs/kafka-security.md"), "utf8");
const examples = [...page.matchAll(/^```sh\n([\s\S]*?)^```/gm)].map(([, text = ""]) =>
  Object.fromEntries(
    text
      .trim()
      .split("\n")
      .map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]),
  ),
);

test("the page has an example of each mechanism and of each file", () => {
  const text = JSON.stringify(examples);
  for (const word of ["plain", "scram-sha-512", "aws", "CA_FILE", "CERT_FILE", "KEY_FILE"]) {
    expect(text).toContain(word);
  }
});

test.each(examples)(
  "%p is what the settings take, but for files that are not here, without a warning",
  (env) => {
    expect(Object.keys(env).filter((name) => !(name in kafkaSettings))).toEqual([]);
    const settings = readSettings(z.object(kafkaSettings), env);
    expect(kafkaWarnings(settings)).toEqual([]);
    try {
      kafkaConnection(settings);
    } catch (error) {
      const problems = error instanceof SettingsError ? error.problems : [String(error)];
      expect(problems.filter((problem) => !problem.endsWith("there is no such file"))).toEqual([]);
    }
  },
);
