import { randomBytes } from "node:crypto";
import {
  appendFileSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { type Clock, systemClock } from "@timespan/runtime/clock";
import type { Environment } from "@timespan/runtime/settings";
import { pingDatabase } from "@timespan/store/ping-database";
import { askProgram } from "./ask-program.ts";
import { diskFull, requireDiskSpace } from "./disk-space.ts";
import { choosePort, LOOPBACK, type PortChoice, portTaken } from "./free-port.ts";
import { homeHash } from "./home.ts";
import { LocalServer } from "./local-server.ts";
import type { PostgresBinaries } from "./postgres-binaries.ts";
import { postgresSettings } from "./postgres-settings.ts";
import { choosePostgresUser, placesWithinReach, type SystemUser } from "./postgres-user.ts";
import { processCommand } from "./process-identity.ts";
import { StackError, StackStartAborted } from "./stack-error.ts";
import { startProcess } from "./start-process.ts";
import { pidFilesDir, stopByPid } from "./stop-leftovers.ts";

const SUPERUSER = "timespan";
const DATABASE = "timespan";
const SETTINGS_FILE = "timespan.conf";
const PORT_VARIABLE = "POSTGRES_PORT";

const INITDB_TIMEOUT_MS = 120_000;
/** Crash recovery of a few gigabytes of WAL counts in. */
const READY_TIMEOUT_MS = 60_000;
const STOP_GRACE_MS = 20_000;

export interface PostgresClusterOptions {
  /** Absolute. */
  home: string;
  environment: Environment;
  port: PortChoice;
  binaries: PostgresBinaries;
  /** Why these binaries, for the line that says what was chosen. */
  why: string;
  report(line: string): void;
  progress(line: string): void;
}

/** Where a cluster lies and who runs it. */
interface ClusterPlace {
  dataDir: string;
  passwordFile: string;
  binaries: PostgresBinaries;
  user: SystemUser | undefined;
  environment: Environment;
}

/**
 * A private PostgreSQL cluster under the home of the stack: created when first started, and not yet started when this
 * resolves. Both flavours, TimescaleDB and embedded, take this one way.
 * @throws {StackError} when its port is taken, its data cannot be used, or no user can run it
 */
export async function createPostgresCluster(
  options: PostgresClusterOptions,
  clock: Clock = systemClock,
): Promise<{ server: LocalServer; databaseUrl: string }> {
  const { home, environment, report } = options;
  const user = await choosePostgresUser(environment);
  const reachable = await placesWithinReach(home, homeHash(home), options.binaries, user, environment);
  if (reachable.notice !== undefined) report(reachable.notice);
  const { binaries, clusterParent } = reachable;
  const name = clusterName(binaries.major, binaries.flavour);
  const place: ClusterPlace = {
    dataDir: join(clusterParent, name),
    passwordFile: join(home, `${name}.password`),
    binaries,
    user,
    environment,
  };
  if (clusterParent !== home) {
    await requireDiskSpace(clusterParent);
    setOrphanAside(place, clock, report);
  }
  requireUsableData(place, clusterParent);
  mentionOtherFlavours(clusterParent, binaries, report);

  const port = await choosePort(options.port, "Postgres", PORT_VARIABLE);
  const password = existsSync(place.dataDir)
    ? readFileSync(place.passwordFile, "utf8").trim()
    : randomBytes(24).toString("base64url");
  const databaseUrl = `postgres://${SUPERUSER}:${password}@${LOOPBACK}:${port}/${DATABASE}`;
  const logFile = join(home, "logs", "postgres.log");

  const server = new LocalServer(
    {
      name: "postgres",
      choice: `Database: ${title(binaries)} on port ${port}, ${options.why}`,
      logFile,
      readyTimeoutMs: READY_TIMEOUT_MS,
      async launch(signal) {
        if (!existsSync(place.dataDir)) {
          options.progress(`Creating a PostgreSQL ${binaries.major} cluster in ${place.dataDir}`);
          await createCluster(place, password);
        }
        await endEarlierPostmaster(place.dataDir, report, clock);
        await writeSettings(place, port);
        if (signal?.aborted) throw new StackStartAborted();
        return startProcess(
          {
            name: "postgres",
            command: join(binaries.binDir, "postgres"),
            args: ["-D", place.dataDir],
            environment: serverEnvironment(environment),
            cwd: place.dataDir,
            runAs: user && { uid: user.uid, gid: user.gid },
            logFile,
            pidFile: join(pidFilesDir(home), "postgres.json"),
            // SIGINT is Postgres' fast shutdown: open transactions are rolled back, nobody is waited for.
            stop: { signal: "SIGINT", graceMs: STOP_GRACE_MS, lastSignal: "SIGQUIT" },
          },
          clock,
        );
      },
      ping: () => pingDatabase(databaseUrl),
      explain(log) {
        if (/could not bind|Address already in use/.test(log))
          return portTaken(port, "Postgres", PORT_VARIABLE);
        return explainDisk(log, place.dataDir);
      },
    },
    clock,
  );
  return { server, databaseUrl };
}

function title({ version, timescaledbVersion, binDir, flavour }: PostgresBinaries): string {
  return flavour === "timescaledb"
    ? `TimescaleDB ${timescaledbVersion} on the PostgreSQL ${version} of ${binDir}`
    : `embedded PostgreSQL ${version} from npm`;
}

function clusterName(major: number, flavour: PostgresBinaries["flavour"]): string {
  return `postgres-${major}-${flavour}`;
}

/** Nothing of ours but what Postgres needs; messages in English, because we read some of them. */
function serverEnvironment(environment: Environment): Environment {
  return { PATH: environment.PATH, LC_ALL: "C", TZ: "UTC" };
}

/**
 * A cluster outside the home outlives a home that was deleted. Its rows would remember Kafka offsets of a broker
 * that is gone, so a new home starts empty; the old data is kept until the next time this happens.
 */
function setOrphanAside(place: ClusterPlace, clock: Clock, report: (line: string) => void): void {
  if (!existsSync(place.dataDir) || existsSync(place.passwordFile)) return;
  const aside = `${place.dataDir}.of-a-deleted-home`;
  rmSync(aside, { recursive: true, force: true });
  renameSync(place.dataDir, aside);
  const date = new Date(clock.nowMs()).toISOString();
  writeFileSync(join(aside, "set-aside.txt"), `Set aside by Timespan at ${date}: its home was deleted.\n`);
  report(`The database of a deleted home was put aside as ${aside}; this one starts empty.`);
}

/** @throws {StackError} when data is there that these binaries cannot read, or whose password is lost */
function requireUsableData({ dataDir, passwordFile, binaries }: ClusterPlace, clusterParent: string): void {
  const { major, flavour } = binaries;
  const otherMajor = (dir: string, dataMajor: string) =>
    new StackError(
      `${dir} holds data of PostgreSQL ${dataMajor}, but the PostgreSQL found is ${major} (${binaries.binDir}).`,
      `Set TIMESPAN_PG_BIN to the programs of a PostgreSQL ${dataMajor} with TimescaleDB, move the data over with ` +
        `pg_upgrade or pg_dump, or remove that folder to start empty.`,
    );
  if (existsSync(dataDir)) {
    const dataMajor = readTextFile(join(dataDir, "PG_VERSION"))?.trim();
    if (dataMajor !== String(major)) throw otherMajor(dataDir, dataMajor ?? "an unknown version");
    if (existsSync(passwordFile)) return;
    throw new StackError(
      `${dataDir} is there, but its password file ${passwordFile} is missing.`,
      "Put the file back, or remove the data folder to start empty.",
    );
  }
  for (const entry of readdirSync(clusterParent)) {
    const found = /^postgres-(\d+)-(\w+)$/.exec(entry);
    if (found?.[1] !== undefined && found[2] === flavour)
      throw otherMajor(join(clusterParent, entry), found[1]);
  }
}

/** Data of the other engine is neither used nor moved over; a person who misses it should know where it is. */
function mentionOtherFlavours(
  clusterParent: string,
  { flavour }: PostgresBinaries,
  report: (line: string) => void,
): void {
  for (const entry of readdirSync(clusterParent)) {
    const found = /^postgres-\d+-(\w+)$/.exec(entry);
    if (found !== null && found[1] !== flavour) {
      report(`${join(clusterParent, entry)} holds earlier data of the other engine; it is left as it is.`);
    }
  }
}

/**
 * Creates the cluster beside its final place and moves it there when complete: an interrupted start leaves nothing
 * that looks like data.
 */
async function createCluster(place: ClusterPlace, password: string): Promise<void> {
  const { dataDir, binaries, user } = place;
  const draft = `${dataDir}.new`;
  const passwordDraft = `${draft}-password`;
  rmSync(draft, { recursive: true, force: true });
  mkdirSync(draft, { mode: 0o700 });
  writeFileSync(passwordDraft, `${password}\n`, { mode: 0o600 });
  if (user !== undefined) {
    for (const path of [draft, passwordDraft]) chownSync(path, user.uid, user.gid);
  }
  try {
    // Unicode rules that are the same on every machine came with PostgreSQL 17; before, plain bytes are.
    const locale =
      binaries.major >= 17
        ? ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        : ["--no-locale"];
    await runAsOwner(place, "initdb", [
      ...[
        "-D",
        draft,
        "-U",
        SUPERUSER,
        `--pwfile=${passwordDraft}`,
        "--auth=scram-sha-256",
        "--encoding=UTF8",
      ],
      ...locale,
    ]);
    const createDatabase = `CREATE DATABASE ${DATABASE}\n`;
    await runAsOwner(place, "postgres", ["--single", "-D", draft, "postgres"], createDatabase);
    appendFileSync(join(draft, "postgresql.conf"), `\ninclude_if_exists = '${SETTINGS_FILE}'\n`);
    writeFileSync(place.passwordFile, `${password}\n`, { mode: 0o600 });
    renameSync(draft, dataDir);
  } catch (error) {
    rmSync(draft, { recursive: true, force: true });
    throw error;
  } finally {
    rmSync(passwordDraft, { force: true });
  }
}

async function runAsOwner(
  place: ClusterPlace,
  program: string,
  args: string[],
  input?: string,
): Promise<void> {
  const { ok, stdout, stderr } = await askProgram(join(place.binaries.binDir, program), args, {
    environment: serverEnvironment(place.environment),
    timeoutMs: INITDB_TIMEOUT_MS,
    runAs: place.user && { uid: place.user.uid, gid: place.user.gid },
    ...(input === undefined ? {} : { input }),
  });
  // Postgres in single-user mode answers a failed statement with an error line and goes on.
  const failure = ok ? /^.*(?:ERROR|FATAL|PANIC):.*$/m.exec(`${stdout}\n${stderr}`)?.[0] : stderr.trim();
  if (failure === undefined) return;
  throw (
    explainDisk(failure, place.dataDir) ??
    new StackError(
      `${program} could not create a cluster in ${place.dataDir}: ${failure}`,
      "See the text above.",
    )
  );
}

/** @returns the error to show when the disk is full; undefined when the text is about something else */
function explainDisk(text: string, directory: string): StackError | undefined {
  return /No space left on device|Disk quota exceeded/.test(text)
    ? diskFull(directory, "Postgres could not write")
    : undefined;
}

async function writeSettings(place: ClusterPlace, port: number): Promise<void> {
  const { dataDir, binaries, user } = place;
  // Asked of the build itself: with an unknown method it would not start.
  const lz4 = await askProgram(
    join(binaries.binDir, "postgres"),
    ["-D", dataDir, "-c", "wal_compression=lz4", "-C", "wal_compression"],
    { environment: serverEnvironment(place.environment), runAs: user && { uid: user.uid, gid: user.gid } },
  );
  const path = join(dataDir, SETTINGS_FILE);
  writeFileSync(
    path,
    postgresSettings({
      port,
      timescaledb: binaries.flavour === "timescaledb",
      walCompression: lz4.ok ? "lz4" : "pglz",
    }),
  );
  if (user !== undefined) chownSync(path, user.uid, user.gid);
}

/**
 * `postmaster.pid` of a server that runs without a pid file of ours (its supervisor was killed in the instant
 * between starting it and writing the file): that server is stopped. A stale file is removed, because Postgres
 * itself would take any process that got its id for a live server.
 */
async function endEarlierPostmaster(
  dataDir: string,
  report: (line: string) => void,
  clock: Clock,
): Promise<void> {
  const path = join(dataDir, "postmaster.pid");
  const pid = Number(readTextFile(path)?.split("\n")[0]);
  if (!Number.isInteger(pid) || pid <= 0) return;
  if (processCommand(pid)?.includes(dataDir)) {
    report(`Stopping postgres (process ${pid}), left running in ${dataDir}.`);
    await stopByPid({ name: "postgres", pid, stopSignal: "SIGINT" }, { clock });
  }
  rmSync(path, { force: true });
}

function readTextFile(path: string): string | undefined {
  return existsSync(path) ? readFileSync(path, "utf8") : undefined;
}
