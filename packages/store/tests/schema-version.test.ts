import { expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { NEWEST_MIGRATIONS } from "../src/schema-version.ts";

const MIGRATIONS = join(import.meta.dir, "../../../migrations");

test.each(Object.entries(NEWEST_MIGRATIONS))(
  "the newest migration of %s is the one this build knows",
  (folder, name) => {
    const files = readdirSync(join(MIGRATIONS, folder)).filter((file) => file.endsWith(".sql"));
    expect(files.sort().at(-1)).toBe(`${name}.sql`);
  },
);
