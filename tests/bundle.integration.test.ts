import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openAsSuperuser } from "@timespan/testing/test-database";
import { testEngines, testEnvironment } from "@timespan/testing/test-environment";
import { buildBundles } from "../deploy/build-bundles.ts";

const image = mkdtempSync(join(tmpdir(), "timespan-image-"));
beforeAll(async () => {
  await buildBundles(image);
});
afterAll(() => rmSync(image, { recursive: true, force: true }));

/** Runs what the service `migrate` of compose.yaml runs. */
async function migrateFromImage(databaseUrl: string): Promise<{ code: number; output: string }> {
  const child = Bun.spawn([process.execPath, "--no-install", "migrate.js"], {
    cwd: image,
    env: { HOME: image, DATABASE_URL: databaseUrl },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const output = (await new Response(child.stdout).text()) + (await new Response(child.stderr).text());
  return { code: await child.exited, output };
}

for (const { engine, present } of testEngines()) {
  describe.skipIf(!present)(`the migrate bundle on ${engine}`, () => {
    test("brings an empty database up to date, once", async () => {
      const server = testEnvironment().databases[engine] ?? "";
      const name = `bundle_${crypto.randomUUID().replaceAll("-", "")}`;
      const url = new URL(server);
      url.pathname = `/${name}`;
      const administration = openAsSuperuser(server);
      try {
        await administration.unsafe(`CREATE DATABASE ${name}`);

        const first = await migrateFromImage(url.href);
        expect(first).toMatchObject({ code: 0 });
        expect(first.output).toContain(`The schema is up to date (${engine}, `);
        expect(first.output).toMatch(/^applied \d{17}_/m);

        const second = await migrateFromImage(url.href);
        expect(second).toEqual({ code: 0, output: `The schema is up to date (${engine}, 0 applied).\n` });

        const database = openAsSuperuser(url.href);
        const rows = await database`SELECT FROM apm.spans UNION ALL SELECT FROM apm.logs`;
        await database.end();
        expect(rows.length).toBe(0);
      } finally {
        await administration.unsafe(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
        await administration.end();
      }
    });
  });
}

test("the migrate bundle says why where no database answers", async () => {
  const { code, output } = await migrateFromImage("postgres://timespan@127.0.0.1:1/timespan");
  expect(code).toBe(1);
  expect(output).toContain("ECONNREFUSED");
  expect(output.trim().split("\n")).toHaveLength(1);
});
