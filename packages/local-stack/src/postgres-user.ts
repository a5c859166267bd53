import { randomUUID } from "node:crypto";
import { chmodSync, cpSync, existsSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Environment } from "@timespan/runtime/settings";
import { askProgram } from "./ask-program.ts";
import { findProgram } from "./find-program.ts";
import type { PostgresBinaries } from "./postgres-binaries.ts";
import { StackError } from "./stack-error.ts";

export interface SystemUser {
  name: string;
  uid: number;
  gid: number;
}

/** Where a cluster lives when the user who runs it cannot reach the home of the stack. */
const SYSTEM_STATE_DIR = "/var/lib/timespan";

/** PostgreSQL's own account where a package made one; ours otherwise. */
const PACKAGE_USER = "postgres";
const OWN_USER = "timespan";

/**
 * The user that must run Postgres, which refuses to run as root: undefined when we are not root. Creates a system
 * account when the machine has none.
 * @throws {StackError} when no account can be created
 */
export async function choosePostgresUser(environment: Environment): Promise<SystemUser | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const existing = (await lookUp(PACKAGE_USER, environment)) ?? (await lookUp(OWN_USER, environment));
  if (existing !== undefined) return existing;
  const attempts: readonly [program: string, args: string[]][] = [
    ["useradd", ["--system", "--user-group", "--no-create-home", "--shell", "/bin/false", OWN_USER]],
    ["adduser", ["-S", "-D", "-H", "-s", "/bin/false", OWN_USER]], // BusyBox
  ];
  const problems: string[] = [];
  for (const [name, args] of attempts) {
    const program = findProgram(name, environment);
    if (program === undefined) continue;
    const { stderr } = await askProgram(program, args, { environment });
    const created = await lookUp(OWN_USER, environment);
    if (created !== undefined) return created;
    problems.push(`${name}: ${stderr.trim()}`);
  }
  throw new StackError(
    `Postgres does not run as root, and no other account could be created for it. ${problems.join("; ")}`.trim(),
    `Create a system account named ${OWN_USER}, or run this command as a user who is not root.`,
  );
}

async function lookUp(name: string, environment: Environment): Promise<SystemUser | undefined> {
  const program = findProgram("id", environment) ?? "/usr/bin/id";
  const uid = await askProgram(program, ["-u", name], { environment });
  const gid = await askProgram(program, ["-g", name], { environment });
  if (!uid.ok || !gid.ok) return undefined;
  return { name, uid: Number(uid.stdout), gid: Number(gid.stdout) };
}

/** True when `user` may enter `directory`, tried as that user: permissions of every folder above count too. */
export async function canEnter(directory: string, user: SystemUser): Promise<boolean> {
  const probe = ["-c", 'cd -- "$1"', "sh", directory];
  return (await askProgram("/bin/sh", probe, { environment: {}, runAs: user })).ok;
}

export interface ReachablePlaces {
  binaries: PostgresBinaries;
  /** The folder in which the cluster lives: the home of the stack, or one beside the system's other state. */
  clusterParent: string;
  /** What a person should know about places that were moved; undefined when none was. */
  notice: string | undefined;
}

/**
 * A home below a folder that only root may enter (a clone in /root) is out of reach for the user who runs Postgres,
 * and so are binaries in its node_modules. Then the cluster, and a copy of the binaries, go to /var/lib/timespan.
 */
export async function placesWithinReach(
  home: string,
  homeHash: string,
  binaries: PostgresBinaries,
  user: SystemUser | undefined,
  environment: Environment,
): Promise<ReachablePlaces> {
  if (user === undefined) return { binaries, clusterParent: home, notice: undefined };
  const binariesReachable = (
    await askProgram(join(binaries.binDir, "postgres"), ["--version"], { environment: {}, runAs: user })
  ).ok;
  const homeReachable = await canEnter(home, user);
  const clusterParent = homeReachable ? home : join(SYSTEM_STATE_DIR, homeHash);
  if (!homeReachable) makeEnterable(clusterParent);
  const usable = binariesReachable ? binaries : await copyBinaries(binaries, environment);
  const sentences: string[] = [];
  if (!homeReachable) {
    sentences.push(
      `Postgres runs as user ${user.name}, who may not enter ${home}: its data lies in ${clusterParent}.`,
    );
  }
  if (!binariesReachable)
    sentences.push(`For user ${user.name}, PostgreSQL was copied to ${dirname(usable.binDir)}.`);
  return { binaries: usable, clusterParent, notice: sentences.length > 0 ? sentences.join(" ") : undefined };
}

/** Copies the binaries once per version; put in place by a rename, so that a broken copy is never used. */
async function copyBinaries(binaries: PostgresBinaries, environment: Environment): Promise<PostgresBinaries> {
  const target = join(SYSTEM_STATE_DIR, `postgres-${binaries.flavour}-${binaries.version}`);
  if (!existsSync(target)) {
    makeEnterable(SYSTEM_STATE_DIR);
    const copy = `${target}.${randomUUID()}`;
    cpSync(dirname(binaries.binDir), copy, { recursive: true, verbatimSymlinks: true });
    // A strict umask at install time must not keep the other user out of the copy.
    await askProgram("chmod", ["-R", "a+rX", copy], { environment });
    try {
      renameSync(copy, target);
    } catch (error) {
      rmSync(copy, { recursive: true, force: true });
      // Another stack of this machine may have been faster; its copy is as good.
      if (!existsSync(target)) throw error;
    }
  }
  return { ...binaries, binDir: join(target, "bin") };
}

/** Creates a folder of ours under {@link SYSTEM_STATE_DIR} that everyone may enter, whatever our umask. */
function makeEnterable(directory: string): void {
  mkdirSync(directory, { recursive: true });
  for (const path of [SYSTEM_STATE_DIR, directory]) chmodSync(path, 0o755);
}
