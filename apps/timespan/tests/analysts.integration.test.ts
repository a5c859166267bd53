/** The command as a person runs it, against a real database. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { closeDatabase, openDatabase } from "@timespan/store/database";
import { createTestDatabase, type TestDatabase } from "@timespan/testing/test-database";
import { testEngines } from "@timespan/testing/test-environment";

for (const { engine, present } of testEngines()) {
  describe.skipIf(!present)(`timespan analysts on ${engine}`, () => {
    let created: TestDatabase;
    beforeAll(async () => {
      created = await createTestDatabase(engine);
    });
    afterAll(async () => {
      await created.drop();
    });

    /** By both entries: the one of a person's machine and the one of the image. */
    async function run(entry: "main.ts analysts" | "analysts-main.ts", ...args: string[]) {
      const [file = "", ...first] = entry.split(" ");
      const child = Bun.spawn([process.execPath, join(import.meta.dir, "../src", file), ...first, ...args], {
        env: { PATH: process.env.PATH, HOME: process.env.HOME, DATABASE_URL: created.url },
        stdin: "ignore",
        stdout: "pipe",
        stderr: "pipe",
      });
      const [output, errors, code] = await Promise.all([
        new Response(child.stdout).text(),
        new Response(child.stderr).text(),
        child.exited,
      ]);
      return { code, output: output.trim(), errors };
    }

    test.each(["main.ts analysts", "analysts-main.ts"] as const)(
      "%s create prints a connection string that works, list shows what it sees, drop ends it",
      async (entry) => {
        const name = `ana_${crypto.randomUUID().slice(0, 8)}`;
        const made = await run(
          entry,
          "create",
          name,
          "--environment",
          "prod",
          "--service",
          "cart",
          "--service",
          "auth",
        );
        expect(made.code).toBe(0);
        expect(made.errors).toContain(
          `${name} may read schema apm; environments: production; services: cart,auth.`,
        );
        const url = new URL(made.output);
        expect([url.username, url.password.length]).toEqual([name, 32]);

        const login = openDatabase({
          url: made.output,
          applicationName: "test",
          poolMax: 1,
          statementTimeoutMs: 5_000,
        });
        // Schema apm is where a name is looked for first.
        const [who] =
          await login`SELECT session_user::text AS name, (SELECT count(*)::int FROM spans) AS spans`;
        expect(who).toEqual({ name, spans: 0 });
        await closeDatabase(login);

        const again = await run(entry, "create", name);
        expect([again.code, again.output, again.errors]).toEqual([
          1,
          "",
          `There is a role ${name} already. Choose another name, or drop it: analysts drop ${name}.\n`,
        ]);
        expect(JSON.parse((await run(entry, "list", "--json")).output)).toMatchObject([
          { name, environments: ["production"], services: ["cart", "auth"] },
        ]);
        expect((await run(entry, "list")).output).toMatch(
          new RegExp(`^NAME .*\n${name} +production +cart,auth +\\d +20`),
        );
        expect((await run(entry, "drop", name)).output).toBe(
          `${name} is dropped, and its sessions are ended.`,
        );
        expect((await run(entry, "list")).output).toBe("No analysts.");
      },
    );

    test("what cannot be is refused in words", async () => {
      const refused = async (...args: string[]) => {
        const { code, errors } = await run("main.ts analysts", ...args);
        expect([code, errors]).toEqual([1, expect.not.stringContaining("    at ")]);
        return errors;
      };
      expect(await refused("create", "Ana; DROP ROLE x")).toContain("is no name for a login");
      expect(await refused("create", "timespan_reader")).toContain("There is a role timespan_reader already");
      expect(await refused("drop", "timespan_reader")).toContain("There is no analyst timespan_reader");
      expect(await refused("create", "ana", "--environment", "")).toContain("must not be empty");
    });
  });
}
