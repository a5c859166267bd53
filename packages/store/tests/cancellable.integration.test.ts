import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { eventually } from "@timespan/testing/run-app";
import { createTestDatabase, openAsSuperuser, type TestDatabase } from "@timespan/testing/test-database";
import { testEngines } from "@timespan/testing/test-environment";
import { cancellable } from "../src/cancellable.ts";
import { closeDatabase, type Database, openDatabase } from "../src/database.ts";

const NAME = "cancellable test";

for (const { engine, present } of testEngines()) {
  describe.skipIf(!present)(`a cancellable database on ${engine}`, () => {
    let created: TestDatabase;
    let all: Database;
    let reader: Database;
    beforeAll(async () => {
      created = await createTestDatabase(engine);
      all = openAsSuperuser(created.url);
      reader = openReader(2);
    });
    afterAll(async () => {
      await Promise.all([closeDatabase(all), closeDatabase(reader)]);
      await created.drop();
    });

    const openReader = (poolMax: number, applicationName = NAME, url = created.url) =>
      openDatabase({
        url,
        role: "timespan_reader",
        applicationName,
        poolMax,
        statementTimeoutMs: 60_000,
        readOnly: true,
      });
    const running = async () =>
      (
        await all`
          SELECT FROM pg_stat_activity
          WHERE application_name = ${NAME} AND state = 'active' AND query LIKE '%pg_sleep%'`
      ).length;
    const sleeping = (count: number) =>
      eventually(async () => (await running()) === count, { what: `${count} statements to run` });
    const outcome = (work: PromiseLike<unknown>) =>
      Promise.resolve(work).then(
        () => "done",
        (err: unknown) => err,
      );

    test("answers like every other while nobody aborts, fragments and parameters included", async () => {
      const sql = cancellable(reader, new AbortController().signal);
      const condition = sql`n > ${1} AND n = ANY (${[1, 2, 3]}::integer[])`;
      const rows = await sql`SELECT n FROM generate_series(1, 5) AS n WHERE ${condition}`;
      expect([...rows]).toEqual([{ n: 2 }, { n: 3 }]);
      expect(await sql`SELECT 1 / ${0}::integer`.catch((err: Error) => err.message)).toContain("division");
    });

    test("an abort ends the statements in the server, also those in the queue, and no other", async () => {
      const gone = new AbortController();
      const sql = cancellable(reader, gone.signal);
      const mine = Array.from({ length: 6 }, () => outcome(sql`SELECT pg_sleep(60)`));
      await sleeping(2);
      const another = outcome(cancellable(reader, new AbortController().signal)`SELECT pg_sleep(0.01)`);
      const reason = new Error("the client went away");
      gone.abort(reason);
      expect(await Promise.all(mine)).toEqual(Array(6).fill(reason));
      expect(await another).toBe("done");
      await sleeping(0);
      expect(await outcome(sql`SELECT 1`)).toBe(reason);
    });

    test("a statement that follows on the same connection is never the one that is hit", async () => {
      const one = openReader(1);
      const outcomes: unknown[] = [];
      for (let round = 0; round < 150; round++) {
        const gone = new AbortController();
        // Ends by itself at about the time at which it is cancelled.
        const first = outcome(cancellable(one, gone.signal)`SELECT pg_sleep(${(round % 10) / 2_000})`);
        const next = outcome(one`SELECT pg_sleep(0.001)`);
        setTimeout(() => gone.abort(), round % 7);
        await first;
        outcomes.push(await next);
      }
      expect(outcomes.filter((each) => each !== "done")).toEqual([]);
      await closeDatabase(one);
    });

    test("a connection that was being made for a cancelled statement serves the next", async () => {
      const fresh = openReader(1);
      const gone = new AbortController();
      const first = outcome(cancellable(fresh, gone.signal)`SELECT 1`);
      await Promise.resolve();
      gone.abort("gone");
      expect(await first).toBe("gone");
      expect(await outcome(fresh`SELECT 1`)).toBe("done");
      await closeDatabase(fresh);
    });

    test("a request to cancel that reaches nobody is no unhandled error", async () => {
      // Between the driver and the server: the statement gets through, what comes later does not.
      const server = new URL(created.url);
      const [port, host] = [Number(server.port), server.hostname];
      const pipe: { up?: Socket; down?: Socket } = {};
      const proxy = createServer((down) => {
        const up = connect(port, host);
        down.pipe(up).pipe(down);
        for (const socket of [up, down]) socket.on("error", () => {});
        Object.assign(pipe, { up, down });
      });
      await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
      server.host = `127.0.0.1:${(proxy.address() as AddressInfo).port}`;
      const far = openReader(1, NAME, server.href);
      const gone = new AbortController();
      const statement = outcome(cancellable(far, gone.signal)`SELECT pg_sleep(60)`);
      await sleeping(1);
      proxy.close();
      gone.abort("gone");
      pipe.up?.destroy();
      expect(await statement).toBe("gone");
      await closeDatabase(far, 0);
    });

    test("a transaction works like every other", async () => {
      const rows = await reader.begin(async (sql) => {
        const [first] = await sql`SELECT ${1}::integer AS n`;
        const [second, third] = await Promise.all([sql`SELECT ${2}::integer AS n`, sql`SELECT 3 AS n`]);
        return [first?.n, second[0]?.n, third[0]?.n];
      });
      expect(rows).toEqual([1, 2, 3]);
      expect(await outcome(reader`SELECT 1`)).toBe("done");
    });

    test("nothing can be written, whatever the role may do", async () => {
      expect(await outcome(reader`UPDATE timespan.api_keys SET last_used_at = now()`)).toMatchObject({
        code: "25006",
      });
    });
  });
}
