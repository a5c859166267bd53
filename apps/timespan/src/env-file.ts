import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseEnv } from "node:util";

/** Where the addresses of a running stack are written, for people and for other programs. */
export function envFilePath(home: string): string {
  return join(home, "env");
}

/** Writes `NAME=value` lines in one step. For the owner only: the database's password is among them. */
export function writeEnvFile(home: string, values: Readonly<Record<string, string>>): void {
  const draft = `${envFilePath(home)}.new`;
  const lines = Object.entries(values).map(([name, value]) => `${name}=${value}\n`);
  writeFileSync(draft, lines.join(""), { mode: 0o600 });
  renameSync(draft, envFilePath(home));
}

/** The values of the stack that runs in `home`; undefined when none runs. */
export function readEnvFile(home: string): Record<string, string | undefined> | undefined {
  const path = envFilePath(home);
  return existsSync(path) ? parseEnv(readFileSync(path, "utf8")) : undefined;
}

export function removeEnvFile(home: string): void {
  rmSync(envFilePath(home), { force: true });
}
