import { existsSync, readdirSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import type { Environment } from "@timespan/runtime/settings";
import { askProgram } from "./ask-program.ts";
import { findProgram, isProgram } from "./find-program.ts";
import { type PostgresBinaries, parsePostgresVersion } from "./postgres-binaries.ts";
import { StackError } from "./stack-error.ts";

/** Older majors are not supported by the TimescaleDB releases we need. */
const POSTGRES_MAJOR_MIN = 15;

/** Where packages and source builds put PostgreSQL: a parent folder, and which of its entries hold a `bin`. */
const PLACES: readonly { parent: string; entry: RegExp }[] = [
  { parent: "/usr/lib/postgresql", entry: /^\d+$/ },
  { parent: "/usr", entry: /^pgsql-\d+$/ },
  { parent: "/usr/local", entry: /^pgsql$/ },
  { parent: "/opt/homebrew/opt", entry: /^postgresql@\d+$/ },
  { parent: "/usr/local/opt", entry: /^postgresql@\d+$/ },
];

export interface TimescaledbSearch {
  environment: Environment;
  /** `TIMESPAN_PG_BIN`: look in this folder and nowhere else. */
  pgBin?: string | undefined;
}

export interface TimescaledbFinding {
  /** The newest PostgreSQL that carries TimescaleDB Community. */
  found: PostgresBinaries | undefined;
  /** Why each other PostgreSQL does not count, as "PostgreSQL 15 in /… has no TimescaleDB Community". */
  rejected: string[];
}

/**
 * Looks for an installed PostgreSQL with TimescaleDB Community. The Apache-only build does not count: it has neither
 * columnstore nor continuous aggregates nor policies.
 * @throws {StackError} when `pgBin` is given and holds no such PostgreSQL
 */
export async function findTimescaledb(search: TimescaledbSearch): Promise<TimescaledbFinding> {
  const { environment, pgBin } = search;
  const binDirs = pgBin === undefined ? await candidateDirs(environment) : [resolve(pgBin)];
  const looks = await Promise.all(binDirs.map((binDir) => look(binDir, environment)));
  const found = looks
    .flatMap((outcome) => (typeof outcome === "object" ? [outcome] : []))
    .sort((a, b) => b.major - a.major)[0];
  const rejected = looks.flatMap((outcome) => (typeof outcome === "string" ? [outcome] : []));
  if (pgBin !== undefined && found === undefined) {
    throw new StackError(
      `TIMESPAN_PG_BIN does not help: ${rejected[0]}.`,
      "Set it to the folder that holds initdb and postgres of a PostgreSQL with TimescaleDB Community, or unset it.",
    );
  }
  return { found, rejected };
}

async function candidateDirs(environment: Environment): Promise<string[]> {
  const dirs: string[] = [];
  const pgConfig = findProgram("pg_config", environment);
  if (pgConfig !== undefined) {
    const { ok, stdout } = await askProgram(pgConfig, ["--bindir"], { environment });
    if (ok && isProgram(join(stdout.trim(), "postgres"))) dirs.push(stdout.trim());
  }
  for (const { parent, entry } of PLACES) {
    const names = existsSync(parent) ? readdirSync(parent).filter((name) => entry.test(name)) : [];
    dirs.push(
      ...names.map((name) => join(parent, name, "bin")).filter((dir) => isProgram(join(dir, "postgres"))),
    );
  }
  return [...new Set(dirs)];
}

/** The binaries in `binDir`, or the reason why they do not count. */
async function look(binDir: string, environment: Environment): Promise<PostgresBinaries | string> {
  if (!isProgram(join(binDir, "postgres")) || !isProgram(join(binDir, "initdb"))) {
    return `${binDir} does not hold initdb and postgres`;
  }
  const { stdout } = await askProgram(join(binDir, "postgres"), ["--version"], { environment });
  const version = parsePostgresVersion(stdout);
  if (version === undefined) return `${binDir}/postgres does not run`;
  const title = `PostgreSQL ${version.major} in ${binDir}`;
  if (version.major < POSTGRES_MAJOR_MIN) return `${title} is older than ${POSTGRES_MAJOR_MIN}`;
  const { libDirs, shareDirs } = await installationDirs(binDir, version.major, environment);
  const timescaledbVersion = libDirs.flatMap(communityVersions).sort(compareVersions).at(-1);
  const hasControl = shareDirs.some((dir) => existsSync(join(dir, "extension", "timescaledb.control")));
  if (timescaledbVersion === undefined || !hasControl) return `${title} has no TimescaleDB Community`;
  return { flavour: "timescaledb", binDir, ...version, timescaledbVersion };
}

/** What `pg_config` beside the binaries says; without it, the places relative to them that packages use. */
async function installationDirs(binDir: string, major: number, environment: Environment) {
  const pgConfig = join(binDir, "pg_config");
  if (isProgram(pgConfig)) {
    const args = ["--pkglibdir", "--sharedir"];
    const { ok, stdout } = await askProgram(pgConfig, args, { environment });
    const [libDir, shareDir] = stdout.trim().split("\n");
    if (ok && libDir && shareDir) return { libDirs: [libDir], shareDirs: [shareDir] };
  }
  const prefix = dirname(binDir);
  return {
    libDirs: ["lib", "lib/postgresql", "lib64", "lib64/pgsql"].map((dir) => join(prefix, dir)),
    shareDirs: [
      ...["share", "share/postgresql", "share/pgsql"].map((dir) => join(prefix, dir)),
      `/usr/share/postgresql/${major}`,
    ],
  };
}

/** Versions of the Timescale-licensed module in a library folder; the Apache-only build does not install it. */
function communityVersions(libDir: string): string[] {
  if (!existsSync(libDir)) return [];
  return readdirSync(libDir).flatMap((file) => /^timescaledb-tsl-(.+)\.(?:so|dylib)$/.exec(file)?.[1] ?? []);
}

function compareVersions(a: string, b: string): number {
  return a.localeCompare(b, "en", { numeric: true });
}
