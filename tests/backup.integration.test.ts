/** The commands of docs/backup.md, run as they stand there: into a new server, which then answers like the old one. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { findTimescaledb } from "@timespan/local-stack/find-timescaledb";
import type { Server } from "@timespan/local-stack/local-server";
import type { PostgresBinaries } from "@timespan/local-stack/postgres-binaries";
import { createPostgresCluster } from "@timespan/local-stack/postgres-cluster";
import { systemClock } from "@timespan/runtime/clock";
import { createAnalyst } from "@timespan/store/analysts/create-analyst";
import { createApiKey } from "@timespan/store/api-keys/create-api-key";
import { createKeyVerifier } from "@timespan/store/api-keys/key-verifier";
import { closeDatabase, type Database, openDatabase } from "@timespan/store/database";
import { migrate } from "@timespan/store/migrate";
import { maintainRollups } from "@timespan/store/storage/maintain-rollups";
import { formatTimestamp } from "@timespan/telemetry/timestamp";
import { spanEvent } from "@timespan/testing/events";
import { storeEvents } from "@timespan/testing/store-events";
import { applyStorage, openAsSuperuser } from "@timespan/testing/test-database";
import { testEngines } from "@timespan/testing/test-environment";
import type { LogEvent, SpanEvent } from "@timespan/testing/workload/events";
import { compressChunks } from "../apps/query-api/tests/compress-chunks.ts";
import { refreshRollups } from "../apps/query-api/tests/refresh-rollups.ts";
import { get, METRICS, openReader, testApp } from "../apps/query-api/tests/test-api.ts";
import { examine } from "../apps/timespan/src/commands/doctor.ts";

const REPOSITORY = resolve(import.meta.dir, "..");
const BATTERY = join(REPOSITORY, "fixtures/battery");
const TOPIC = "backup-tests";
const ROLLUPS = { lateAfterMs: 1_800_000, refreshIntervalMs: 30_000, refreshDelayMs: 120_000 };
const JOB_WAIT_SECONDS = 60;

/** As the battery has it: its rows reach back from a moment, at which the API is asked. */
const AT_US = Math.floor(Date.now() / 10_800_000) * 10_800_000_000;
const read = (name: string) => readFileSync(join(BATTERY, name), "utf8").trim().split("\n");
const events = read("events.jsonl").map((line): SpanEvent | LogEvent => {
  const { at_us, ...event } = JSON.parse(line);
  return { ...event, timestamp: formatTimestamp(AT_US + at_us) };
});
const queries = read("queries.txt")
  .filter((line) => line !== "" && !line.startsWith("#"))
  .map((line) =>
    line.replace(/\{(-[\d.]+)\}/g, (_, seconds) => formatTimestamp(AT_US + Math.round(seconds * 1e6))),
  );

/** The block of the page that begins with `# title`. */
function commands(title: string): string {
  const page = readFileSync(join(REPOSITORY, "docs/backup.md"), "utf8");
  const found = [...page.matchAll(/^```sh\n# (.+)\n([\s\S]*?)^```/gm)].find(([, name]) => name === title);
  if (found?.[2] === undefined) throw new Error(`docs/backup.md has no commands "${title}"`);
  return found[2];
}

/** The programs to dump with come from the same folder as the server: they are of its version then. */
const { found } = await findTimescaledb({ environment: process.env, pgBin: process.env.TIMESPAN_PG_BIN });
const hasPrograms =
  found !== undefined &&
  ["pg_dump", "pg_dumpall", "pg_restore", "psql"].every((name) => Bun.which(name, { PATH: found.binDir }));

test("the commands for compose say the same as those that run here", () => {
  const page = readFileSync(join(REPOSITORY, "docs/backup.md"), "utf8");
  const compose = [...page.matchAll(/^```sh\n(docker compose [\s\S]*?)^```/gm)]
    .map(([, block]) => block)
    .join("");
  const said = (script: string) => [
    ...[...script.matchAll(/-c ("[^"]+")/g)].map(([, sql]) => sql),
    ...[...script.matchAll(/pg_restore|--exit-on-error|grep -vE '[^']+'|diff - \S+/g)].map(([word]) => word),
  ];
  expect(said(compose)).toEqual(said(commands("backup") + commands("restore, TimescaleDB")));
});

for (const { engine } of testEngines()) {
  const needs = hasPrograms
    ? ""
    : " (SKIPPED: no PostgreSQL with TimescaleDB, pg_dump and psql is installed)";
  describe.skipIf(!hasPrograms)(`a backup of ${engine}${needs}`, () => {
    const work = mkdtempSync(join(tmpdir(), "timespan-backup-"));
    const analyst = { name: `ana_${crypto.randomUUID().slice(0, 8)}`, password: "" };
    let servers: Server[] = [];
    let source: string;
    let target: string;
    let key: string;
    let before: string[];
    let restoredAt: Date;

    async function startServer(name: string): Promise<string> {
      const home = join(work, name);
      mkdirSync(join(home, "logs"), { recursive: true });
      const binaries: PostgresBinaries =
        engine === "timescaledb"
          ? (found as PostgresBinaries)
          : { ...(found as PostgresBinaries), flavour: "embedded" };
      const { server, databaseUrl } = await createPostgresCluster({
        home,
        environment: process.env,
        port: "auto",
        binaries,
        why: "for a test of backups",
        report: () => {},
        progress: () => {},
      });
      await server.start();
      servers = [...servers, server];
      return databaseUrl;
    }

    async function sh(script: string): Promise<void> {
      const child = Bun.spawn(["bash", "-euo", "pipefail", "-c", script], {
        cwd: work,
        env: { PATH: `${found?.binDir}:${process.env.PATH}`, SOURCE: source, TARGET: target },
        stdin: "ignore",
        stdout: "ignore",
        stderr: "pipe",
      });
      const [errors, code] = await Promise.all([new Response(child.stderr).text(), child.exited]);
      if (code !== 0) throw new Error(`the commands ended with ${code}: ${errors}`);
    }

    async function using<T>(url: string, work: (database: Database) => Promise<T>): Promise<T> {
      const database = openAsSuperuser(url);
      try {
        return await work(database);
      } finally {
        await closeDatabase(database);
      }
    }

    async function store(url: string, stored: readonly (SpanEvent | LogEvent)[]): Promise<void> {
      const writer = openDatabase({
        url,
        role: "timespan_writer",
        applicationName: "backup tests",
        poolMax: 1,
        statementTimeoutMs: 30_000,
      });
      await storeEvents(writer, TOPIC, stored);
      await closeDatabase(writer);
    }

    /** Every answer of the API, without what says where rows lie: the jobs of both servers go on. */
    async function ask(url: string): Promise<string[]> {
      const reader = openReader(url);
      const clock = { ...systemClock, nowMs: () => AT_US / 1_000 };
      const app = testApp(reader, { clock, metrics: METRICS });
      const answers: string[] = [];
      for (const query of queries) {
        const { status, text } = await get(app, query);
        answers.push(`${query} ${status} ${text.replaceAll(/"source":"[^"]*",?/g, "")}`);
      }
      await closeDatabase(reader);
      return answers;
    }

    beforeAll(async () => {
      chmodSync(work, 0o755); // as root, the servers run as another user
      [source, target] = await Promise.all([startServer("source"), startServer("target")]);
      const { engine: migrated } = await migrate({ databaseUrl: source });
      expect(migrated).toBe(engine);
      await store(source, events);
      await refreshRollups(source, engine, AT_US / 1_000 - 7_300_000);
      if (engine === "timescaledb") await compressChunks(source);
      await using(source, async (database) => {
        await applyStorage(database, { retentionSpansMs: 5 * 86_400_000 });
        await maintainRollups(database, ROLLUPS);
        const access = { environments: ["production"], services: null };
        analyst.password = (await createAnalyst(database, { name: analyst.name, access }))?.password ?? "";
        const created = await createApiKey(database, {
          name: "kept",
          scopes: ["read"],
          access: { environments: null, services: null },
          expiresAt: null,
        });
        key = created?.key ?? "";
      });
      before = await ask(source);
      await sh(commands("backup"));
      const withoutRoles = await sh(`
        psql -X -c 'CREATE DATABASE without_roles' "$TARGET"
        pg_restore --exit-on-error --dbname="\${TARGET%/*}/without_roles" timespan.dump`).catch(String);
      expect(withoutRoles).toContain('role "timespan_owner" does not exist');
      restoredAt = new Date();
      await sh(commands(engine === "timescaledb" ? "restore, TimescaleDB" : "restore, plain PostgreSQL"));
    }, 180_000);
    afterAll(async () => {
      await Promise.all(servers.map((server) => server.stop()));
      rmSync(work, { recursive: true, force: true });
    }, 60_000);

    test("gives the same answers on every route after its restore", async () => {
      expect(before.filter((answer) => / 200 /.test(answer)).length).toBeGreaterThan(50);
      expect(await ask(target)).toEqual(before);
    });

    test("needs no migration, and the doctor finds nothing but that no stream-processor runs", async () => {
      expect((await migrate({ databaseUrl: target })).applied).toEqual([]);
      // All jobs start at once after a restore: a columnstore policy can lose a deadlock against the refresh, which
      // docs/backup.md says. It is tried again; everything else that fails is wrong.
      const lostDeadlock = /^policy_compression of \w+ \(job \d+\) failed \([^()]*Failed to convert[^()]*\)$/;
      const wrongOf = async () =>
        (await using(target, (database) => examine(database, target))).filter(
          ({ check, status, detail }) =>
            status !== "ok" && check !== "disk" && !(check === "job-failures" && lostDeadlock.test(detail)),
        );
      // The first refresh brings what the backup had not stored yet.
      let wrong = await wrongOf();
      for (let second = 0; second < JOB_WAIT_SECONDS && wrong.length > 1; second++) {
        await Bun.sleep(1_000);
        wrong = await wrongOf();
      }
      expect(wrong).toMatchObject([{ check: "stream-processor", status: "fail" }]);
    });

    test("has the same owners, rights and definitions", async () => {
      const describeSchema = (database: Database) => database`
        SELECT 'relation' AS kind, oid::regclass::text AS name, relowner::regrole::text AS owner, relacl::text[] AS rights,
          reloptions::text AS definition
        FROM pg_class WHERE relnamespace IN ('timespan'::regnamespace, 'apm'::regnamespace)
        UNION ALL
        SELECT 'function', oid::regprocedure::text, proowner::regrole::text, proacl::text[],
          CASE prokind WHEN 'a' THEN NULL ELSE pg_get_functiondef(oid) END
        FROM pg_proc WHERE pronamespace IN ('timespan'::regnamespace, 'apm'::regnamespace)
        UNION ALL
        SELECT 'database', datname::text, datdba::regrole::text, datacl::text[], NULL
        FROM pg_database WHERE datname = current_database()
        UNION ALL
        SELECT 'schema', nspname::text, nspowner::regrole::text, nspacl::text[], NULL
        FROM pg_namespace WHERE nspname IN ('timespan', 'apm', 'public')
        ORDER BY 1, 2`;
      const sorted = (rows: Record<string, unknown>[]) =>
        rows.map((row) => ({
          ...row,
          rights: Array.isArray(row.rights) ? [...row.rights].sort() : row.rights,
        }));
      const expected = sorted(await using(source, describeSchema));
      expect(expected.length).toBeGreaterThan(50);
      expect(sorted(await using(target, describeSchema))).toEqual(expected);
    });

    test("brings analysts back as they were: their password, their rows, and nothing they must not do", async () => {
      const url = new URL(target);
      url.username = analyst.name;
      url.password = analyst.password;
      await using(url.href, async (database) => {
        const seen = await database`SELECT DISTINCT environment FROM apm.spans`;
        expect(seen.map(({ environment }) => environment)).toEqual(["production"]);
        const [rights] = await database`
          SELECT has_database_privilege(current_database(), 'TEMPORARY') AS temporary,
            current_setting('statement_timeout') AS timeout`;
        expect(rights?.temporary).toBe(false);
      });
    });

    test("brings API keys back", async () => {
      const verified = await using(target, (database) =>
        createKeyVerifier(database, systemClock, () => {})(key),
      );
      expect(verified).toMatchObject({ ok: true, key: { name: "kept" } });
    });

    if (engine === "timescaledb") {
      test("has its chunks in the columnstore, and jobs that run again as their owner", async () => {
        await using(target, async (database) => {
          const [chunks] = await database<{ compressed: number }[]>`
            SELECT count(*) FILTER (WHERE is_compressed)::integer AS compressed FROM timescaledb_information.chunks`;
          expect(chunks?.compressed).toBeGreaterThan(5);
          let ran = 0;
          for (let second = 0; second < JOB_WAIT_SECONDS && ran === 0; second++) {
            const rows = await database`
              SELECT FROM timescaledb_information.job_stats AS stats
              JOIN timescaledb_information.jobs AS job USING (job_id)
              WHERE job.proc_name = 'refresh_rollups' AND job.owner = 'timespan_owner'::regrole
                AND stats.last_run_status = 'Success' AND stats.last_run_started_at > ${restoredAt}`;
            ran = rows.length;
            if (ran === 0) await Bun.sleep(1_000);
          }
          expect(ran).toBe(1);
        });
      });
    }

    test("goes on where the backup ended: what came later is read again, and stored once", async () => {
      const later = Array.from({ length: 20 }, (_, n) =>
        spanEvent({
          timestamp: formatTimestamp(AT_US - (n + 1) * 60_000_000),
          service_name: "storefront",
          environment: "production",
          kind: "SERVER",
          duration_ms: n + 1,
        }),
      );
      await store(source, later);
      // The same records again, from the offset that the restored database asks for.
      await store(target, later);
      // Where jobs have stored rollups up to here, later rows are in them when they run again, on each server by itself.
      let answers: [source: string[], target: string[]] = [before, []];
      for (let second = 0; second < JOB_WAIT_SECONDS && !Bun.deepEquals(...answers); second++) {
        if (second > 0) await Bun.sleep(1_000);
        answers = [await ask(source), await ask(target)];
      }
      expect(answers[1]).toEqual(answers[0]);
      expect(answers[1]).not.toEqual(before);
      const ledger = (database: Database) =>
        database`SELECT topic, partition, next_offset, row_count FROM timespan.ingest_offsets`;
      expect([...(await using(target, ledger))]).toEqual([...(await using(source, ledger))]);
    });
  });
}
