import { afterAll, expect, test } from "bun:test";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findTimescaledb } from "../src/find-timescaledb.ts";
import { parsePostgresVersion } from "../src/postgres-binaries.ts";

const root = mkdtempSync(join(tmpdir(), "timespan-find-"));
afterAll(() => rmSync(root, { recursive: true }));

/** A folder tree that looks like an installed PostgreSQL, without `pg_config`. */
function installation(
  name: string,
  options: { version: string; libraries?: string[]; control?: boolean },
): string {
  const prefix = join(root, name);
  const binDir = join(prefix, "bin");
  for (const dir of ["bin", "lib", "share/extension"]) mkdirSync(join(prefix, dir), { recursive: true });
  for (const program of ["postgres", "initdb"]) {
    writeFileSync(join(binDir, program), `#!/bin/sh\necho '${program} (PostgreSQL) ${options.version}'\n`);
    chmodSync(join(binDir, program), 0o755);
  }
  for (const library of options.libraries ?? []) writeFileSync(join(prefix, "lib", library), "");
  if (options.control) writeFileSync(join(prefix, "share/extension/timescaledb.control"), "");
  return binDir;
}

const environment = { PATH: "/usr/bin:/bin" };

test("an installation with the Timescale-licensed module counts, with the newest version of it", async () => {
  const libraries = ["timescaledb-tsl-2.9.1.so", "timescaledb-tsl-2.29.2.so", "timescaledb-2.29.2.so"];
  const pgBin = installation("community", { version: "17.11", libraries, control: true });
  expect((await findTimescaledb({ environment, pgBin })).found).toEqual({
    flavour: "timescaledb",
    binDir: pgBin,
    major: 17,
    version: "17.11",
    timescaledbVersion: "2.29.2",
  });
});

test.each([
  [
    "apache",
    { version: "17.1", libraries: ["timescaledb-2.29.2.so"], control: true },
    /no TimescaleDB Community/,
  ],
  ["no-control", { version: "17.1", libraries: ["timescaledb-tsl-2.29.2.so"] }, /no TimescaleDB Community/],
  ["plain", { version: "16.4 (Debian 16.4-1)" }, /PostgreSQL 16 in .* has no TimescaleDB Community/],
  ["old", { version: "13.2" }, /older than 15/],
])(
  "TIMESPAN_PG_BIN at an installation that does not count (%s) is an error that says why",
  (name, options, reason) => {
    const pgBin = installation(name, options);
    expect(findTimescaledb({ environment, pgBin })).rejects.toThrow(reason);
  },
);

test("TIMESPAN_PG_BIN at a folder without PostgreSQL is an error", () => {
  expect(findTimescaledb({ environment, pgBin: root })).rejects.toThrow(/does not hold initdb and postgres/);
});

test("versions are read from what the programs print", () => {
  expect(parsePostgresVersion("postgres (PostgreSQL) 18.4")).toEqual({ major: 18, version: "18.4" });
  expect(parsePostgresVersion("PostgreSQL 15.12 (Debian 15.12-0+deb12u2)")).toEqual({
    major: 15,
    version: "15.12",
  });
  expect(parsePostgresVersion("postgres (PostgreSQL) 19beta1")).toEqual({ major: 19, version: "19beta1" });
  expect(parsePostgresVersion("sh: not found")).toBeUndefined();
});
