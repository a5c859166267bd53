import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { GENERATED } from "../docs/generate-settings.ts";
import * as recordBatch from "../packages/broker/src/codecs/record-batch-limits.ts";
import * as attributes from "../packages/telemetry/src/attributes.ts";
import * as timeWindow from "../packages/telemetry/src/time-window.ts";
import * as spanEvent from "../packages/telemetry/src/wire/decode-span-event.ts";
import * as errorEvent from "../packages/telemetry/src/wire/error-event.ts";
import * as eventFields from "../packages/telemetry/src/wire/event-fields.ts";
import * as otlp from "../packages/telemetry/src/wire/otlp/limits.ts";

/** What a reader is told must be so. */
const REPOSITORY = resolve(import.meta.dir, "..");
const read = (path: string) => readFileSync(join(REPOSITORY, path), "utf8");
const pages = ["README.md", "CHANGELOG.md", ...new Bun.Glob("docs/**/*.md").scanSync({ cwd: REPOSITORY })];
const packageJson: { scripts: Record<string, string>; packageManager: string } = JSON.parse(
  read("package.json"),
);

test.each(Object.entries(GENERATED))("%s is what `bun run docs` writes", (path, text) => {
  expect(read(path)).toBe(text());
});

test.each(pages)("every relative link of %s leads to a file, and every #anchor to a heading", (page) => {
  const broken = [...read(page).matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, target = ""]) => target)
    .filter((target) => !/^[a-z]+:/.test(target))
    .filter((target) => {
      const [path = "", anchor] = target.split("#");
      const file = path === "" ? page : join(dirname(page), path);
      if (!existsSync(join(REPOSITORY, file))) return true;
      return anchor !== undefined && !headings(file).includes(anchor);
    });
  expect(broken).toEqual([]);
});

/** The anchors of a page, as they are made from its headings. */
function headings(page: string): string[] {
  return [...read(page).matchAll(/^#+ (.+)$/gm)].map(([, title = ""]) =>
    title
      .toLowerCase()
      .replace(/[^\w\s-]/g, "")
      .trim()
      .replaceAll(" ", "-"),
  );
}

test.each(pages)("every script that %s tells to run exists, by the Bun that package.json names", (page) => {
  const scripts = Object.keys(packageJson.scripts);
  const told = [...read(page).matchAll(/\bbun(@[\d.]+)? run ([\w:-]*\w)/g)];
  expect(told.map(([, , script = ""]) => script).filter((script) => !scripts.includes(script))).toEqual([]);
  const versions = [...read(page).matchAll(/\bbun@([\d.]+\d)/g)].map(([, version]) => `bun@${version}`);
  expect([...new Set(versions)].filter((version) => version !== packageJson.packageManager)).toEqual([]);
});

test.each(pages)("every file and folder of the repository that %s names in code is there", (page) => {
  const named = [...read(page).matchAll(/`((?:apps|packages|migrations|deploy|tests|docs)\/[\w./-]+)`/g)];
  expect(named.map(([, path = ""]) => path).filter((path) => !existsSync(join(REPOSITORY, path)))).toEqual(
    [],
  );
});

test("the README lists every app and package, and nothing else of that kind", () => {
  const folders = [...new Bun.Glob("{apps,packages}/*/package.json").scanSync({ cwd: REPOSITORY })].map(
    dirname,
  );
  const listed = [...read("README.md").matchAll(/^\| \[((?:apps|packages)\/[\w-]+)\]/gm)].map(
    ([, path]) => path,
  );
  expect(listed.sort()).toEqual(folders.sort());
});

test("every variable that a page names is a setting", () => {
  const known = new Set([...read(".env.example").matchAll(/^# (\w+)=/gm)].map(([, name]) => name));
  const strangers = pages.flatMap((page) =>
    [...read(page).matchAll(/`([A-Z]+(?:_[A-Z]+)+)`/g)]
      .map(([, name]) => name)
      .filter((name) => !known.has(name) && !CONSTANTS.has(name ?? ""))
      .map((name) => `${page}: ${name}`),
  );
  expect(strangers).toEqual([]);
});

const CONSTANTS: ReadonlyMap<string, number> = new Map(
  Object.entries({
    ...attributes,
    ...timeWindow,
    ...spanEvent,
    ...errorEvent,
    ...eventFields,
    ...otlp,
    ...recordBatch,
  }).filter((entry): entry is [string, number] => typeof entry[1] === "number"),
);

test.each([
  ["docs/ingest.md", 11],
  ["docs/otlp.md", 8],
])("the limits in %s are those of the code", (page, countMin) => {
  const rows = [...read(page).matchAll(/^\|[^|]+\| ([\d,]+) [^|]*\|[^|]+\| `(\w+)`/gm)];
  expect(rows.length).toBeGreaterThanOrEqual(countMin);
  for (const [, value = "", name = ""] of rows) {
    expect([name, Number(value.replaceAll(",", ""))]).toEqual([name, CONSTANTS.get(name) ?? Number.NaN]);
  }
});

describe("docs/ingest.md", () => {
  const page = read("docs/ingest.md");

  test("its reasons of dead letters are those of the code", () => {
    const source =
      /export type RejectionReason =([^;]+);/.exec(read("packages/telemetry/src/rejection.ts"))?.[1] ?? "";
    const reasons = [...source.matchAll(/"(\w+)"/g)].map(([, reason]) => reason);
    const section = page.split(/^## /m).find((part) => part.startsWith("Dead letters")) ?? "";
    expect([...section.matchAll(/^\| `(\w+)`/gm)].map(([, reason]) => reason).sort()).toEqual(reasons.sort());
  });

  test("its reasons for closing a batch are those of the code", () => {
    const source =
      /export type CloseReason =([^;]+);/.exec(read("apps/stream-processor/src/open-batch.ts"))?.[1] ?? "";
    const reasons = [...source.matchAll(/"(\w+)"/g)].map(([, reason]) => reason);
    const section = page.split(/^## /m).find((part) => part.startsWith("Batches")) ?? "";
    expect(
      [...section.matchAll(/^\| `(\w+)` /gm)]
        .map(([, reason]) => reason)
        .filter((r) => r !== "closed_by")
        .sort(),
    ).toEqual(reasons.sort());
  });
});

test("every metric that a page names is one that an app counts", () => {
  const sources = [...new Bun.Glob("apps/*/src/**/*.ts").scanSync({ cwd: REPOSITORY })].map(read).join("\n");
  const named = pages.flatMap((page) =>
    [...read(page).matchAll(/`((?:timespan|query_api|http_server)_\w+_(?:\w+))`/g)].map(
      ([, name = ""]) => name,
    ),
  );
  const metrics = named.filter((name) => !/^timespan_(writer|reader|analyst|owner)$/.test(name));
  expect(metrics.filter((name) => !sources.includes(`"${name}"`))).toEqual([]);
});
