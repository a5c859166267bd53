/** The command against the real process, the real Kafka and a real database: what was rejected becomes rows. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { closeDatabase, type Database } from "@timespan/store/database";
import { logEvent, spanEvent, uniqueName } from "@timespan/testing/events";
import { produce } from "@timespan/testing/produce";
import { eventually, type RunningApp, runApp } from "@timespan/testing/run-app";
import { createTestDatabase, openAsSuperuser, type TestDatabase } from "@timespan/testing/test-database";
import { testEngines, testEnvironment } from "@timespan/testing/test-environment";

const MAIN = join(import.meta.dir, "../src/main.ts");

for (const { engine, present } of testEngines()) {
  describe.skipIf(!present)(`timespan dead-letters on ${engine}`, () => {
    const name = uniqueName("apm");
    const topics = { spans: `${name}.spans`, logs: `${name}.logs` };
    let created: TestDatabase;
    let database: Database;
    let processor: RunningApp;
    let home: string;

    beforeAll(async () => {
      created = await createTestDatabase(engine);
      database = openAsSuperuser(created.url);
      home = mkdtempSync(join(tmpdir(), "timespan-dead-letters-"));
      processor = await runApp("stream-processor", "STREAM_PROCESSOR_PORT", {
        DATABASE_URL: created.url,
        KAFKA_BROKERS: testEnvironment().kafkaBrokers.join(","),
        KAFKA_APM_SPAN_TOPIC: topics.spans,
        KAFKA_APM_LOG_TOPIC: topics.logs,
        KAFKA_APM_LOG_ERROR_TOPIC: `${name}.errors`,
        KAFKA_OTLP_SPAN_TOPIC: `${name}.otlp-spans`,
        KAFKA_OTLP_LOG_TOPIC: `${name}.otlp-logs`,
        KAFKA_CONSUMER_GROUP: name,
        KAFKA_TOPIC_PARTITIONS: "2",
        BULK_FLUSH_INTERVAL_MS: "100",
      });
    });
    afterAll(async () => {
      await processor?.stop();
      await closeDatabase(database);
      await created.drop();
      rmSync(home, { recursive: true, force: true });
    });

    const environment = () => ({
      PATH: process.env.PATH,
      HOME: process.env.HOME,
      TIMESPAN_HOME: home,
      DATABASE_URL: created.url,
      KAFKA_BROKERS: testEnvironment().kafkaBrokers.join(","),
    });

    async function run(args: string[], env: Record<string, string> = {}) {
      const child = Bun.spawn([process.execPath, MAIN, "dead-letters", ...args], {
        env: { ...environment(), ...env },
        stdin: "ignore",
        stdout: "pipe",
        stderr: "pipe",
      });
      const [output, errors, code] = await Promise.all([
        new Response(child.stdout).bytes(),
        new Response(child.stderr).text(),
        child.exited,
      ]);
      return { code, bytes: output, output: Buffer.from(output).toString(), errors };
    }
    const list = async (...args: string[]) => JSON.parse((await run(["list", "--json", ...args])).output);

    /** Dead letters as ingest would have written them, and their ids. */
    async function insert(
      topic: string,
      payloads: readonly (string | Uint8Array | null)[],
      reason = "invalid_event",
    ) {
      const ids: number[] = [];
      for (const [offset, payload] of payloads.entries()) {
        const bytes = typeof payload === "string" ? Buffer.from(payload) : payload;
        const [row] = await database<{ id: number }[]>`
          INSERT INTO timespan.dead_letters
            (topic, partition, source_offset, source_index, reason, detail, payload)
          VALUES (${topic}, 0, ${offset}, 0, ${reason}, 'of a test', ${bytes}::bytea)
          RETURNING dead_letter_id::double precision AS id`;
        ids.push(row?.id ?? 0);
      }
      return ids;
    }
    const states = async (ids: readonly number[]) => {
      const rows = await database`
        SELECT replayed_at, discarded_at FROM timespan.dead_letters
        WHERE dead_letter_id = ANY(${[...ids]}::bigint[]) ORDER BY dead_letter_id`;
      return rows.map((row) => (row.replayed_at ? "replayed" : row.discarded_at ? "discarded" : "waiting"));
    };
    const storedSpans = async (service: string) => {
      const [row] =
        await database`SELECT count(*)::int AS count FROM timespan.spans WHERE service_name = ${service}`;
      return row?.count;
    };

    test("what was too far in the future becomes a row when its time has come and it is replayed", async () => {
      const service = uniqueName("svc");
      // Ahead by little more than is tolerated: in a few seconds it is not any more.
      const timestamp = new Date(Date.now() + 5 * 60_000 + 4_000).toISOString();
      await produce(topics.spans, [spanEvent({ service_name: service, timestamp })]);
      const reason = ["--topic", topics.spans, "--reason", "timestamp_in_future"];
      await eventually(async () => (await list(...reason)).length === 1, { what: "the dead letter" });
      await eventually(() => Date.parse(timestamp) <= Date.now() + 5 * 60_000, { what: "its time" });

      const { code, output } = await run(["replay", ...reason, "--since", "1h"]);
      expect(output).toContain("1 to replay:");
      expect(output).toContain("Replayed 1 of 1.");
      expect(code).toBe(0);
      await eventually(async () => (await storedSpans(service)) === 1, { what: "the span" });
      expect(await list(...reason)).toMatchObject([{ state: "replayed" }]);
      expect((await run(["replay", ...reason])).output).toBe("Nothing to replay.\n");
      expect(await storedSpans(service)).toBe(1);
    });

    test("what is still wrong becomes a new dead letter, once for each replay", async () => {
      await produce(topics.logs, [{ ...logEvent(), level: "LOUD" }]);
      const ofLogs = ["--topic", topics.logs];
      await eventually(async () => (await list(...ofLogs)).length === 1, { what: "the dead letter" });
      const [first] = await list(...ofLogs);
      await run(["replay", ...ofLogs]);
      await eventually(async () => (await list(...ofLogs)).length === 2, { what: "the second dead letter" });
      const letters = await list(...ofLogs);
      expect(letters.map(({ state }: { state: string }) => state)).toEqual(["waiting", "replayed"]);
      expect(letters[0].detail).toBe(first.detail);
      expect((await run(["show", String(letters[0].id), "--raw"])).bytes).toEqual(
        (await run(["show", String(first.id), "--raw"])).bytes,
      );
    });

    test("more than a page is replayed exactly, by topic, and only what matches", async () => {
      const service = uniqueName("svc");
      const spans = Array.from({ length: 1_203 }, (_, index) =>
        JSON.stringify(spanEvent({ service_name: service, name: `span ${index}` })),
      );
      const ids = await insert(topics.spans, spans, "refused_by_database");
      const log = logEvent({ service_name: service });
      const [logId = 0] = await insert(topics.logs, [JSON.stringify(log)], "refused_by_database");
      const others = await insert(topics.spans, [spans[0] ?? ""], "event_too_large");
      const replayed = await run(["replay", "--reason", "refused_by_database"]);
      expect(replayed.output).toContain("Replayed 1,204 of 1,204.");
      await eventually(async () => (await storedSpans(service)) >= 1_203, { what: "the spans" });
      expect(new Set(await states([...ids, logId]))).toEqual(new Set(["replayed"]));
      expect(await states(others)).toEqual(["waiting"]);
      const [row] = await database`
        SELECT count(*)::int AS count, count(DISTINCT span_name)::int AS names
        FROM timespan.spans WHERE service_name = ${service}`;
      expect(row).toEqual({ count: 1_203, names: 1_203 });
      await eventually(
        async () =>
          (await database`SELECT FROM timespan.log_records WHERE service_name = ${service}`).count === 1,
        { what: "the log" },
      );
    });

    test("stopped by Ctrl-C, it marks all that it has sent, and the next run sends the rest once", async () => {
      const service = uniqueName("svc");
      const count = 30_000;
      const payload = JSON.stringify(spanEvent({ service_name: service }));
      await database`
        INSERT INTO timespan.dead_letters (topic, partition, source_offset, source_index, reason, detail, payload)
        SELECT ${topics.spans}, 0, n, 0, 'stop_test', '', convert_to(${payload}, 'UTF8')
        FROM generate_series(1, ${count}::integer) AS n`;
      const child = Bun.spawn([process.execPath, MAIN, "dead-letters", "replay", "--reason", "stop_test"], {
        env: environment(),
        stdin: "ignore",
        stdout: "pipe",
        stderr: "pipe",
      });
      const marked = async () => {
        const [row] = await database`
          SELECT count(replayed_at)::int AS count FROM timespan.dead_letters WHERE reason = 'stop_test'`;
        return row?.count;
      };
      await eventually(async () => (await marked()) > 0, { what: "the first page" });
      child.kill("SIGINT");
      const errors = await new Response(child.stderr).text();
      expect([await child.exited, errors]).toEqual([
        1,
        "\nIt was stopped before it was through.\n→ The rest waits: run it again to go on.\n",
      ]);
      const first = await marked();
      expect(first).toBeWithin(1, count);
      await eventually(async () => (await storedSpans(service)) === first, { what: "what was marked" });
      expect((await run(["replay", "--reason", "stop_test"])).code).toBe(0);
      await eventually(async () => (await storedSpans(service)) === count, { what: "the rest" });
    });

    test("a dry run says what would be sent, and sends nothing", async () => {
      const topic = uniqueName("topic");
      const ids = await insert(topic, ["{}", "{}", null]);
      const { code, output } = await run(["replay", "--topic", topic, "--dry-run"]);
      expect([code, output]).toEqual([
        0,
        `1 without a payload that could be sent.\n2 to replay:\n  2 × invalid_event of ${topic}, 4 bytes\nA dry run: nothing was sent.\n`,
      ]);
      expect(await states(ids)).toEqual(["waiting", "waiting", "waiting"]);
    });

    test("ids can be named: of those that cannot be replayed it is said why", async () => {
      const service = uniqueName("svc");
      const event = JSON.stringify(spanEvent({ service_name: service }));
      const ids = await insert(topics.spans, [event, event, null]);
      const [first = 0, second = 0, empty = 0] = ids;
      const [batch = 0] = await insert(topics.spans, ["\0\0"], "unreadable_batch");
      expect((await run(["discard", String(first), "--yes"])).output).toContain("Discarded 1.");
      expect((await run(["replay", String(first)])).output).toContain("Replayed 1 of 1.");
      const { output } = await run(["replay", ...[first, second, empty, batch].map(String)]);
      expect(output).toContain(`${first}: was replayed already`);
      expect(output).toContain(`${empty}: no payload is kept, so there is nothing to send`);
      expect(output).toContain(`${batch}: it is a compressed batch, not a record that could be sent`);
      expect(output).toContain("Replayed 1 of 1.");
      await eventually(async () => (await storedSpans(service)) === 2, { what: "both spans" });
      expect(await states(ids)).toEqual(["replayed", "replayed", "waiting"]);

      const missing = await run(["replay", String(second), "999999999"]);
      expect([missing.code, missing.errors]).toEqual([
        1,
        "\nThere is no dead letter 999999999.\n→ `timespan dead-letters list` has those there are.\n",
      ]);
    });

    test("nothing is discarded without saying which, and without --yes", async () => {
      const topic = uniqueName("topic");
      const ids = await insert(topic, ["{}", "{}"]);
      const unnamed = await run(["discard", "--yes"]);
      expect([unnamed.code, unnamed.errors]).toEqual([
        1,
        "\nNothing says which dead letters to discard.\n→ Name ids or a filter, or say --all.\n",
      ]);
      const unconfirmed = await run(["discard", "--topic", topic]);
      expect([unconfirmed.code, unconfirmed.output]).toEqual([
        1,
        `2 to discard:\n  2 × invalid_event of ${topic}, 4 bytes\n`,
      ]);
      expect(await states(ids)).toEqual(["waiting", "waiting"]);
      const done = await run(["discard", "--topic", topic, "--yes"]);
      expect([done.code, done.output.trim().split("\n").at(-1)]).toEqual([0, "Discarded 2."]);
      expect(await states(ids)).toEqual(["discarded", "discarded"]);
      expect((await run(["discard", "--topic", topic, "--yes"])).output).toBe("Nothing to discard.\n");
    });

    test("the list is a table, or JSON of any length, newest first", async () => {
      const topic = uniqueName("topic");
      const ids = await insert(topic, ["{}", "{}", "{}"]);
      const { code, output } = await run(["list", "--topic", topic, "--limit", "2"]);
      const lines = output.split("\n");
      expect(code).toBe(0);
      expect(lines[0]).toMatch(/^ID +RECEIVED +TOPIC\/PARTITION\/OFFSET +REASON +DETAIL +STATE$/);
      expect(lines[1]).toMatch(
        new RegExp(`^${ids[2]} +\\d{4}-\\S+Z +${topic}/0/2 +invalid_event +of a test +waiting$`),
      );
      expect(lines.slice(3)).toEqual(["2 of 3; --limit shows more.", ""]);

      await database`
        INSERT INTO timespan.dead_letters (topic, partition, source_offset, source_index, reason, detail)
        SELECT ${topic}, 1, n, 0, 'malformed_json', repeat('x', 100) FROM generate_series(1, 2500) AS n`;
      const all = await list("--topic", topic, "--limit", "100000");
      expect(all.length).toBe(2_503);
      expect(all.map(({ id }: { id: number }) => id)).toEqual(
        all.map(({ id }: { id: number }) => id).toSorted((a: number, b: number) => b - a),
      );
      expect(all.at(-1)).toMatchObject({ id: ids[0] ?? 0, payload_bytes: 2, state: "waiting" });
      expect(await list("--topic", topic, "--state", "discarded")).toEqual([]);
      expect((await run(["list", "--topic", uniqueName("none")])).output).toBe("No dead letters.\n");
    });

    test("a reader that has enough ends the list without a word", async () => {
      const topic = uniqueName("topic");
      await database`
        INSERT INTO timespan.dead_letters (topic, partition, source_offset, source_index, reason, detail)
        SELECT ${topic}, 1, n, 0, 'malformed_json', repeat('x', 500) FROM generate_series(1, 5000) AS n`;
      const child = Bun.spawn(
        [
          "sh",
          "-c",
          `"${process.execPath}" "${MAIN}" dead-letters list --topic ${topic} --limit 5000 | head -n 1`,
        ],
        {
          env: environment(),
          stderr: "pipe",
          stdout: "pipe",
        },
      );
      const [output, errors] = await Promise.all([
        new Response(child.stdout).text(),
        new Response(child.stderr).text(),
      ]);
      expect([output.slice(0, 2), errors]).toEqual(["ID", ""]);
    });

    test("one is shown with its payload", async () => {
      const [text = 0, binary = 0] = await insert(uniqueName("topic"), ['{"a":1}', Uint8Array.of(10, 255)]);
      const shown = await run(["show", String(text)]);
      expect(shown.output).toContain(`id        ${text}\n`);
      expect(shown.output).toEndWith('payload   7 bytes\n\n{"a":1}\n');
      expect((await run(["show", String(binary)])).output).toContain("00000000  0a ff  ");
      expect([...(await run(["show", String(binary), "--raw"])).bytes]).toEqual([10, 255]);
      const missing = await run(["show", "999999999"]);
      expect([missing.code, missing.output]).toEqual([1, ""]);
    });

    test("the stack that runs in this home is taken where nothing else is named", async () => {
      const [id = 0] = await insert(topics.spans, [JSON.stringify(spanEvent())]);
      const env = `DATABASE_URL=${created.url}\nKAFKA_BROKERS=${testEnvironment().kafkaBrokers.join(",")}\n`;
      const nowhere = { DATABASE_URL: "", KAFKA_BROKERS: "" };
      const without = await run(["list"], nowhere);
      expect([without.code, without.errors]).toEqual([
        1,
        `\nDATABASE_URL is not set, and no stack runs in ${home}.\n→ Set DATABASE_URL, or start a stack with \`bun run up\`.\n`,
      ]);
      writeFileSync(join(home, "env"), env);
      try {
        expect((await run(["replay", String(id)], nowhere)).output).toContain("Replayed 1 of 1.");
      } finally {
        rmSync(join(home, "env"));
      }
    });

    test("what is asked wrongly, or of nobody, is said in words", async () => {
      const errors = async (args: string[], env: Record<string, string> = {}) => {
        const { code, errors } = await run(args, env);
        expect(code).toBe(1);
        expect(errors).not.toContain("    at ");
        return errors;
      };
      expect(await errors(["list", "--since", "yesterday"])).toContain(
        "--since yesterday: must be an ISO 8601",
      );
      expect(await errors(["show", "1x"])).toContain("must be a whole number above 0");
      expect(await errors(["list", "--state", "lost"])).toContain(
        "Allowed choices are waiting, replayed, discarded",
      );
      const away = created.url.replace(/:\d+\//, ":1/");
      expect(await errors(["list"], { DATABASE_URL: away })).toContain("could not be asked");
      const [id = 0] = await insert(topics.spans, ["{}"]);
      expect(await errors(["replay", String(id)], { KAFKA_BROKERS: "127.0.0.1:1" })).toContain(
        "Kafka at 127.0.0.1:1 cannot be reached",
      );
      expect(await states([id])).toEqual(["waiting"]);
      const empty = new URL(created.url);
      empty.pathname = "/postgres";
      expect(await errors(["list"], { DATABASE_URL: empty.href })).toContain(
        "migrate it with `bun run migrate`",
      );
    });
  });
}
