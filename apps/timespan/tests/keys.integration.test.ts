/** The command as a person runs it, against a real database. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { systemClock } from "@timespan/runtime/clock";
import { createKeyVerifier, type VerifyKey } from "@timespan/store/api-keys/key-verifier";
import { closeDatabase, type Database } from "@timespan/store/database";
import { createTestDatabase, openAsSuperuser, type TestDatabase } from "@timespan/testing/test-database";
import { testEngines } from "@timespan/testing/test-environment";

for (const { engine, present } of testEngines()) {
  describe.skipIf(!present)(`timespan keys on ${engine}`, () => {
    let created: TestDatabase;
    let database: Database;
    let verify: VerifyKey;
    beforeAll(async () => {
      created = await createTestDatabase(engine);
      database = openAsSuperuser(created.url);
      verify = createKeyVerifier(database, systemClock, () => {});
    });
    afterAll(async () => {
      await closeDatabase(database);
      await created.drop();
    });

    /** By both entries: the one of a person's machine and the one of the image. */
    async function run(entry: "main.ts keys" | "keys-main.ts", ...args: string[]) {
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

    test.each(["main.ts keys", "keys-main.ts"] as const)(
      "%s makes, lists and revokes a key",
      async (entry) => {
        const name = `of ${entry}`;
        const made = await run(
          entry,
          ...["create", "--name", name, "--scope", "read", "--scope", "ingest", "--expires", "90d"],
          ...["--environment", "prod", "--environment", "staging", "--service", "cart"],
        );
        expect(made).toMatchObject({ code: 0 });
        expect(made.output).toMatch(/^tsp_[\w-]{43}$/);
        expect(made.errors).toContain("environments: production,staging; services: cart; expires 20");
        expect(await verify(made.output)).toMatchObject({
          ok: true,
          key: {
            name,
            scopes: ["read", "ingest"],
            access: { environments: ["production", "staging"], services: ["cart"] },
          },
        });

        const [listed] = JSON.parse((await run(entry, "list", "--json")).output);
        expect(listed).toMatchObject({ name, state: "active", hint: made.output.slice(0, 10) });
        const table = (await run(entry, "list")).output;
        expect(table).toContain(name);
        expect(table).not.toContain(made.output);

        expect(await run(entry, "create", "--name", name)).toMatchObject({
          code: 1,
          errors: expect.stringContaining("already"),
        });
        expect(await run(entry, "revoke", name)).toMatchObject({ code: 0 });
        expect((await run(entry, "list")).output).toBe("No keys.");
        expect((await run(entry, "list", "--all")).output).toContain("revoked");
        expect(await run(entry, "revoke", String(listed.id))).toMatchObject({
          code: 1,
          errors: expect.stringContaining("no key"),
        });
      },
    );

    test.each([
      [["create"], "--name"],
      [["create", "--name", ""], "1 to 100 characters"],
      [["create", "--name", "a\nb"], "1 to 100 characters"],
      [["create", "--name", "42"], "digits alone"],
      [["create", "--name", "x", "--scope", "write"], "must be one of read, ingest, admin"],
      [["create", "--name", "x", "--expires", "tomorrow"], "length of time"],
      [["create", "--name", "x", "--service", ""], "must not be empty"],
      [["revoke", "nobody"], "no key nobody"],
    ])("keys %j says what is wrong", async (args, said) => {
      const { code, output, errors } = await run("main.ts keys", ...args);
      expect({ code, output }).toEqual({ code: 1, output: "" });
      expect(errors).toContain(said);
      expect(errors).not.toContain("    at ");
    });
  });
}
