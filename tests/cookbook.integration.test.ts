/**
 * Every query of docs/sql.md is asked by a login that `timespan analysts create` would make, and what the page shows is
 * what came back, on both engines. `bun run docs:sql` writes the answers and the reference into the page.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { createAnalyst } from "@timespan/store/analysts/create-analyst";
import { dropAnalyst } from "@timespan/store/analysts/drop-analyst";
import { closeDatabase, type Database, openDatabase } from "@timespan/store/database";
import { createShopMonthDatabase } from "@timespan/testing/shop-month-database";
import { openAsSuperuser, type TestDatabase } from "@timespan/testing/test-database";
import { testEngines } from "@timespan/testing/test-environment";
import {
  answerTable,
  atCookbookTime,
  COOKBOOK_PAGE,
  cookbookQueries,
  writeCookbook,
} from "../docs/cookbook.ts";

const PAGE = join(resolve(import.meta.dir, ".."), COOKBOOK_PAGE);
const WRITE = process.env.TIMESPAN_WRITE_DOCS === "1";

for (const { engine, present } of testEngines()) {
  describe.skipIf(!present)(`${COOKBOOK_PAGE} on ${engine}`, () => {
    const name = `cook_${crypto.randomUUID().slice(0, 8)}`;
    let created: TestDatabase;
    let owner: Database;
    let analyst: Database;

    beforeAll(async () => {
      created = await createShopMonthDatabase(engine);
      owner = openAsSuperuser(created.url);
      const made = await createAnalyst(owner, { name, access: { environments: null, services: null } });
      const url = new URL(created.url);
      url.username = name;
      url.password = made?.password ?? "";
      analyst = openDatabase({
        url: url.href,
        applicationName: "cookbook",
        poolMax: 1,
        statementTimeoutMs: 30_000,
      });
    });
    afterAll(async () => {
      await closeDatabase(analyst);
      await dropAnalyst(owner, name);
      await closeDatabase(owner);
      await created.drop();
    });

    test("asks at least 25 questions, and shows the answers of this engine and the comments of this schema", async () => {
      const page = readFileSync(PAGE, "utf8");
      const queries = cookbookQueries(page);
      expect(queries.filter(({ byOwner }) => !byOwner).length).toBeGreaterThanOrEqual(25);
      const answers: (string | undefined)[] = [];
      for (const { title, sql, byOwner } of queries) {
        const asked = (byOwner ? owner : analyst).unsafe(atCookbookTime(sql));
        const rows = await asked.catch((error: Error) => {
          throw new Error(`${title}: ${error.message}`);
        });
        if (!byOwner) expect([title, rows.length]).not.toEqual([title, 0]);
        answers.push(byOwner ? undefined : answerTable(rows));
      }
      const written = writeCookbook(page, answers, await reference(owner));
      // One engine writes; the other is held against it even so.
      if (WRITE && engine === "postgres") writeFileSync(PAGE, written);
      expect(written).toBe(readFileSync(PAGE, "utf8"));
    }, 120_000);
  });
}

/** Views, columns and functions of schema apm with what the database says of them. */
async function reference(database: Database): Promise<string> {
  const views = await database<{ view: string; comment: string; columns: string[][] }[]>`
    SELECT
      relname AS view,
      obj_description(relation.oid, 'pg_class') AS comment,
      (
        SELECT jsonb_agg(jsonb_build_array(attname, format_type(atttypid, atttypmod), col_description(relation.oid, attnum)) ORDER BY attnum)
        FROM pg_attribute
        WHERE attrelid = relation.oid AND attnum > 0 AND NOT attisdropped
      ) AS columns
    FROM pg_class AS relation
    WHERE relnamespace = 'apm'::regnamespace AND relkind = 'v'
    ORDER BY relname`;
  const functions = await database<{ signature: string; result: string; comment: string }[]>`
    SELECT
      format('%s(%s)', proname, pg_get_function_identity_arguments(oid)) AS signature,
      pg_get_function_result(oid) AS result,
      obj_description(oid, 'pg_proc') AS comment
    FROM pg_proc
    WHERE pronamespace = 'apm'::regnamespace AND prokind = 'f'
    ORDER BY proname`;
  const cell = (text: string) => text.replaceAll("|", "\\|").replaceAll("<*>", "`<*>`");
  return `${[
    "## Reference",
    ...views.flatMap(({ view, comment, columns }) => [
      "",
      `### apm.${view}`,
      "",
      cell(comment),
      "",
      "| Column | Type | |",
      "| --- | --- | --- |",
      ...columns.map(
        ([column = "", type = "", text = ""]) => `| \`${column}\` | ${TYPES[type] ?? type} | ${cell(text)} |`,
      ),
    ]),
    ...functions.flatMap(({ signature, result, comment }) => [
      "",
      `### apm.${signature.replace(/\(.*/, "")}()`,
      "",
      `\`apm.${signature}\` returns \`${result}\`.`,
      "",
      cell(comment),
    ]),
  ].join("\n")}\n`;
}

const TYPES: Readonly<Record<string, string>> = {
  "timestamp with time zone": "timestamptz",
  "double precision": "double",
};
