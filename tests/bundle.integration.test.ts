import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "@timespan/testing/run-app";
import { openAsSuperuser } from "@timespan/testing/test-database";
import { testEngines, testEnvironment } from "@timespan/testing/test-environment";
import { type BundleName, buildBundles } from "../deploy/build-bundles.ts";

const image = mkdtempSync(join(tmpdir(), "timespan-image-"));
beforeAll(async () => {
  await buildBundles(image);
});
afterAll(() => rmSync(image, { recursive: true, force: true }));

/** Starts a bundle as a container does: from its folder alone, with the variables that are given. */
function startBundle(name: BundleName, env: Record<string, string>) {
  return Bun.spawn([process.execPath, "--no-install", `${name}.js`], {
    cwd: image,
    env: { HOME: image, ...env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
}

async function runMigrate(databaseUrl: string): Promise<{ code: number; output: string }> {
  const child = startBundle("migrate", { DATABASE_URL: databaseUrl });
  const output = (await new Response(child.stdout).text()) + (await new Response(child.stderr).text());
  return { code: await child.exited, output };
}

for (const { engine, present } of testEngines()) {
  describe.skipIf(!present)(`the bundles on ${engine}`, () => {
    const name = `bundle_${crypto.randomUUID().replaceAll("-", "")}`;
    const server = testEnvironment().databases[engine] ?? "";
    const databaseUrl = server.replace(/\/[^/]*$/, `/${name}`);
    const administer = async (statement: string) => {
      const administration = openAsSuperuser(server);
      await administration.unsafe(statement);
      await administration.end();
    };
    beforeAll(() => administer(`CREATE DATABASE ${name}`));
    afterAll(() => administer(`DROP DATABASE ${name} WITH (FORCE)`));

    test("migrate brings an empty database up to date, once", async () => {
      const first = await runMigrate(databaseUrl);
      expect(first).toMatchObject({ code: 0 });
      expect(first.output).toContain(`The schema is up to date (${engine}, `);
      expect(first.output).toMatch(/^applied \d{17}_/m);

      const second = await runMigrate(databaseUrl);
      expect(second).toEqual({ code: 0, output: `The schema is up to date (${engine}, 0 applied).\n` });

      const database = openAsSuperuser(databaseUrl);
      const rows = await database`SELECT FROM apm.spans UNION ALL SELECT FROM apm.logs`;
      await database.end();
      expect(rows.length).toBe(0);
    });

    test.each([
      ["stream-processor", "STREAM_PROCESSOR_PORT"],
      ["query-api", "PORT"],
      ["error-stream", "ERROR_STREAM_PORT"],
    ] as const)("%s gets ready, and ends cleanly when it is told to", async (app, portVariable) => {
      const probe = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response() });
      const port = String(probe.port);
      await probe.stop(true);
      const child = startBundle(app, {
        DATABASE_URL: databaseUrl,
        KAFKA_BROKERS: testEnvironment().kafkaBrokers.join(","),
        KAFKA_APM_SPAN_TOPIC: `${name}.spans`,
        KAFKA_APM_LOG_TOPIC: `${name}.logs`,
        KAFKA_APM_LOG_ERROR_TOPIC: `${name}.errors`,
        KAFKA_OTLP_SPAN_TOPIC: `${name}.otlp_spans`,
        KAFKA_OTLP_LOG_TOPIC: `${name}.otlp_logs`,
        KAFKA_CONSUMER_GROUP: name,
        KAFKA_TOPIC_PARTITIONS: "1",
        [portVariable]: port,
      });
      try {
        await eventually(
          async () => {
            if (child.exitCode !== null) throw new Error(await new Response(child.stdout).text());
            return (await fetch(`http://127.0.0.1:${port}/ready`).catch(() => undefined))?.status === 200;
          },
          { timeoutMs: 60_000, what: `the bundle of ${app} to be ready` },
        );
      } finally {
        child.kill("SIGTERM");
      }
      expect(await child.exited).toBe(0);
    });
  });
}

test("migrate says why where no database answers", async () => {
  const { code, output } = await runMigrate("postgres://timespan@127.0.0.1:1/timespan");
  expect(code).toBe(1);
  expect(output).toContain("ECONNREFUSED");
  expect(output.trim().split("\n")).toHaveLength(1);
});
