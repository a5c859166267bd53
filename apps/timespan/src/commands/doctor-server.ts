/** What the doctor makes of the server: its versions, settings, roles and disk. */
import type { ServerDescription } from "@timespan/store/doctor/describe-server";
import type { RoleState } from "@timespan/store/doctor/list-roles";
import type { ServerSettings } from "@timespan/store/doctor/read-server-settings";
import type { StorageGrowth } from "@timespan/store/doctor/storage-growth";
import type { Engine } from "@timespan/store/migrate";
import { bytes, type Finding, ok, type Status, some, span } from "./doctor-finding.ts";

const GIB = 1024 ** 3;
const MIB = 1024 ** 2;

const POSTGRES_MAJOR_MIN = 15;
const TIMESCALEDB_VERSION_MIN = "2.28";

/** A quarter of the memory is right; with less than this share, PostgreSQL reads from files what could be at hand. */
const SHARED_BUFFERS_SHARE_MIN = 0.15;
/** Enough to begin with on any machine, and what a stack takes that shares its machine with other programs. */
const SHARED_BUFFERS_ENOUGH_BYTES = 512 * MIB;
const MAX_WAL_SIZE_BYTES_MIN = 2 * GIB;
const CHECKPOINT_TIMEOUT_SECONDS_MIN = 600;
const WORK_MEM_BYTES_MIN = 32 * MIB;
/** PostgreSQL's own background workers beside those of TimescaleDB and of parallel queries. */
const OTHER_WORKERS = 3;

/** @param engine what the schema was made for; undefined where it was never made */
export function judgeServer(server: ServerDescription, engine: Engine | undefined): Finding[] {
  return [judgeVersion(server), judgeTimescaledb(server, engine)];
}

function judgeVersion({ version, major }: ServerDescription): Finding {
  const check = "postgres-version";
  if (major >= POSTGRES_MAJOR_MIN) return ok(check, `PostgreSQL ${version}`);
  return {
    check,
    status: "fail",
    detail: `PostgreSQL ${version} is older than ${POSTGRES_MAJOR_MIN}`,
    remedy: "Move to a newer server by dump and restore: docs/backup.md.",
  };
}

function judgeTimescaledb(server: ServerDescription, engine: Engine | undefined): Finding {
  const check = "timescaledb";
  const {
    timescaledbVersion: version,
    timescaledbAvailable: available,
    timescaledbLicense: license,
  } = server;
  const offersCommunity = version !== null && license === "timescale";
  if (server.restoring) {
    return {
      check,
      status: "fail",
      detail: "a restore was begun and not ended: timescaledb.restoring is on, so no job runs",
      remedy: "When pg_restore is through, run in this database: SELECT timescaledb_post_restore();",
    };
  }
  if (engine === "timescaledb" && !offersCommunity) {
    return {
      check,
      status: "fail",
      detail:
        version === null
          ? "the schema was made for TimescaleDB, and the database has no such extension"
          : `TimescaleDB ${version} runs under the licence ${license ?? "of a module that is not loaded"}: no columnstore, no rollups, no jobs`,
      remedy:
        "Give the server TimescaleDB Community: shared_preload_libraries = 'timescaledb', timescaledb.license = 'timescale'; then restart it.",
    };
  }
  if (engine === "postgres" && offersCommunity) {
    return {
      check,
      status: "warn",
      detail: `TimescaleDB ${version} Community is here, but the schema was made for plain PostgreSQL and does not use it`,
      remedy:
        "Let `migrate` make the schema in a new, empty database; what Kafka still keeps is read into it.",
    };
  }
  if (!offersCommunity) {
    return ok(check, "plain PostgreSQL: for small volumes; rollups are computed when asked");
  }
  if (version.localeCompare(TIMESCALEDB_VERSION_MIN, "en", { numeric: true }) < 0) {
    return {
      check,
      status: "fail",
      detail: `TimescaleDB ${version} is older than ${TIMESCALEDB_VERSION_MIN}`,
      remedy: "Install a newer one, restart the server, then run: ALTER EXTENSION timescaledb UPDATE;",
    };
  }
  if (available !== null && available !== version) {
    return {
      check,
      status: "warn",
      detail: `TimescaleDB ${version} Community, while ${available} is installed`,
      remedy:
        "Take a backup, then run as the first statement of a session (psql -X): ALTER EXTENSION timescaledb UPDATE;",
    };
  }
  return ok(check, `TimescaleDB ${version} Community`);
}

/**
 * @param memoryBytes of the machine; undefined where it is not known
 * @param jobCount of the database; 0 where it has no TimescaleDB
 */
export function judgeSettings(
  settings: ServerSettings,
  { memoryBytes, jobCount }: { memoryBytes: number | undefined; jobCount: number },
): Finding[] {
  const { sharedBuffersBytes, maxWalSizeBytes, checkpointTimeoutSeconds, walCompression, workMemBytes } =
    settings;
  const buffersWanted = Math.min(
    SHARED_BUFFERS_ENOUGH_BYTES,
    memoryBytes === undefined ? Number.POSITIVE_INFINITY : memoryBytes * SHARED_BUFFERS_SHARE_MIN,
  );
  const ofMemory =
    memoryBytes === undefined ? "; the machine's memory is not known here" : ` of ${bytes(memoryBytes)}`;
  const findings = [
    setting(
      "shared_buffers",
      sharedBuffersBytes >= buffersWanted,
      bytes(sharedBuffersBytes) + ofMemory,
      `Set it to a quarter of the memory${memoryBytes === undefined ? "" : ` (${bytes(memoryBytes / 4)})`}, and restart the server.`,
    ),
    setting(
      "max_wal_size",
      maxWalSizeBytes >= MAX_WAL_SIZE_BYTES_MIN,
      bytes(maxWalSizeBytes),
      `With less than ${bytes(MAX_WAL_SIZE_BYTES_MIN)}, ingest forces checkpoints: set it to 8GB where the disk has room.`,
    ),
    setting(
      "checkpoint_timeout",
      checkpointTimeoutSeconds >= CHECKPOINT_TIMEOUT_SECONDS_MIN,
      span(checkpointTimeoutSeconds),
      "Set it to 15min: after each checkpoint every page that changes is written to the WAL whole.",
    ),
    setting(
      "wal_compression",
      walCompression !== "off",
      walCompression,
      "Set it to lz4, or to pglz where the server has no lz4: it halves the WAL and more.",
    ),
    setting(
      "work_mem",
      workMemBytes >= WORK_MEM_BYTES_MIN,
      bytes(workMemBytes),
      `Set it to ${bytes(WORK_MEM_BYTES_MIN)} or more: grouping a minute of spans otherwise goes by way of files.`,
    ),
  ];
  const workers = settings.timescaledbBackgroundWorkers;
  if (jobCount > 0 && workers !== null) {
    const processes = workers + settings.maxParallelWorkers + OTHER_WORKERS;
    findings.push(
      setting(
        "timescaledb.max_background_workers",
        workers >= jobCount,
        `${workers} for ${jobCount} jobs`,
        `Set it to ${jobCount} or more, and max_worker_processes to ${jobCount + settings.maxParallelWorkers + OTHER_WORKERS} or more; restart the server. Jobs otherwise wait for one another.`,
      ),
      setting(
        "max_worker_processes",
        settings.maxWorkerProcesses >= processes,
        String(settings.maxWorkerProcesses),
        `Set it to ${processes} or more (timescaledb.max_background_workers + max_parallel_workers + ${OTHER_WORKERS}), and restart the server.`,
      ),
    );
  }
  return findings;
}

function setting(name: string, good: boolean, value: string, remedy: string): Finding {
  const detail = `${name} is ${value}`;
  return good ? ok(name, detail) : { check: name, status: "warn", detail, remedy };
}

export function judgeRoles(roles: readonly RoleState[]): Finding {
  const check = "roles";
  const missing = roles.filter(({ present }) => !present).map(({ name }) => name);
  if (missing.length > 0) {
    return {
      check,
      status: "fail",
      detail: `the server lacks ${some(missing, 4)}`,
      remedy:
        "Into a database that was restored, bring the roles of the backup too (docs/backup.md); otherwise run `migrate`.",
    };
  }
  const unusable = roles.filter(({ usable }) => !usable).map(({ name }) => name);
  if (unusable.length > 0) {
    return {
      check,
      status: "warn",
      detail: `this user may not act as ${some(unusable, 4)}`,
      remedy: `The apps and migrations cannot run as this user. Where they should: GRANT ${unusable.join(", ")} TO this user.`,
    };
  }
  return ok(check, "all there, and this user may act as each");
}

/** @param statements that take from everybody what no analyst should have */
export function judgeRights(statements: readonly string[]): Finding {
  const check = "analyst-rights";
  if (statements.length === 0) return ok(check, "analysts can make nothing in this database");
  return {
    check,
    status: "warn",
    detail: "analysts can make things in this database, as everybody may",
    remedy: statements.map((statement) => `${statement};`).join(" "),
  };
}

const DISK_DAYS_WARN = 14;
const DISK_DAYS_FAIL = 3;
/** Beside the rows there are WAL, temporary files and chunks on their way to the columnstore. */
const DISK_MARGIN = 1.2;

/** @param freeBytes where the data lies; undefined where that cannot be known from here */
export function judgeDisk(growth: StorageGrowth, freeBytes: number | undefined): Finding {
  const check = "disk";
  const { databaseBytes, bytesPerDay, retentionDays, storedDays } = growth;
  const size = `the database has ${bytes(databaseBytes)}`;
  const rate =
    bytesPerDay === null ? "too little is stored to tell a rate" : `${bytes(bytesPerDay)} come a day`;
  if (freeBytes === undefined) {
    return {
      check,
      status: "unknown",
      detail: `${size}; ${rate}; the free space of the server's disk cannot be known from here`,
      remedy: "Look on the server, or run this command there as a user who can read the data directory.",
    };
  }
  const free = `${size}; ${rate}; ${bytes(freeBytes)} are free`;
  if (bytesPerDay === null || bytesPerDay === 0) {
    if (freeBytes > GIB) return ok(check, free);
    return { check, status: "fail", detail: free, remedy: "Make room: with a full disk nothing is stored." };
  }
  const daysLeft = freeBytes / bytesPerDay;
  const growingDays = retentionDays === null ? Number.POSITIVE_INFINITY : retentionDays - (storedDays ?? 0);
  // When the oldest rows go as fast as new ones come, the disk fills no further.
  if (freeBytes > Math.max(GIB, bytesPerDay * (Math.max(0, growingDays) + 1) * DISK_MARGIN)) {
    return ok(check, `${free}, enough for the ${span((retentionDays ?? 0) * 86_400)} that are kept`);
  }
  const status: Status = daysLeft < DISK_DAYS_FAIL ? "fail" : daysLeft < DISK_DAYS_WARN ? "warn" : "ok";
  const detail = `${free}, ${Math.floor(daysLeft * 10) / 10} days at this rate`;
  if (status === "ok") return ok(check, detail);
  return {
    check,
    status,
    detail,
    remedy: "Keep less (RETENTION_SPANS, RETENTION_LOGS), send less, or give the server a larger disk.",
  };
}
