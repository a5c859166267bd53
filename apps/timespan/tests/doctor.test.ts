import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { ServerDescription } from "@timespan/store/doctor/describe-server";
import type { StorageGrowth } from "@timespan/store/doctor/storage-growth";
import { bytes, some, span } from "../src/commands/doctor-finding.ts";
import { judgeDisk, judgeRoles, judgeServer, judgeSettings } from "../src/commands/doctor-server.ts";

const GIB = 1024 ** 3;

const server: ServerDescription = {
  version: "17.11",
  major: 17,
  timescaledbVersion: "2.29.2",
  timescaledbAvailable: "2.29.2",
  timescaledbLicense: "timescale",
  restoring: false,
  dataDirectory: null,
  port: 5432,
  startedAtSeconds: 0,
};

describe("the server", () => {
  const timescaledb = (
    overrides: Partial<ServerDescription>,
    engine: "timescaledb" | "postgres" = "timescaledb",
  ) => judgeServer({ ...server, ...overrides }, engine)[1];

  test("TimescaleDB Community of a version that we need is fine, and so is plain PostgreSQL", () => {
    expect(judgeServer(server, "timescaledb").map(({ status }) => status)).toEqual(["ok", "ok"]);
    const plain = { timescaledbVersion: null, timescaledbAvailable: null, timescaledbLicense: null };
    expect(timescaledb(plain, "postgres")).toMatchObject({ status: "ok" });
    expect(timescaledb({ timescaledbLicense: "apache" }, "postgres")).toMatchObject({ status: "ok" });
  });

  test.each([
    [{ timescaledbLicense: "apache" }, "runs under the licence apache"],
    [{ timescaledbVersion: null }, "has no such extension"],
    [{ timescaledbVersion: "2.9.3", timescaledbAvailable: "2.9.3" }, "is older than 2.28"],
  ])("a schema of TimescaleDB on a server with %j is broken", (overrides, said) => {
    expect(timescaledb(overrides)).toMatchObject({ status: "fail", detail: expect.stringContaining(said) });
  });

  test("an update that waits, and an extension that is not used, are warnings", () => {
    expect(timescaledb({ timescaledbAvailable: "2.30.0" })).toMatchObject({ status: "warn" });
    expect(timescaledb({}, "postgres")).toMatchObject({ status: "warn" });
  });

  test("an old PostgreSQL is a failure", () => {
    expect(judgeServer({ ...server, version: "14.2", major: 14 }, "postgres")[0]).toMatchObject({
      status: "fail",
    });
  });
});

describe("settings", () => {
  const good = {
    sharedBuffersBytes: 4 * GIB,
    maxWalSizeBytes: 8 * GIB,
    checkpointTimeoutSeconds: 900,
    walCompression: "lz4",
    workMemBytes: GIB / 32,
    maxWorkerProcesses: 48,
    maxParallelWorkers: 8,
    timescaledbBackgroundWorkers: 32,
  };
  const machine = { memoryBytes: 16 * GIB, jobCount: 19 };
  const wrong = (overrides: Partial<typeof good>, where: Parameters<typeof judgeSettings>[1] = machine) =>
    judgeSettings({ ...good, ...overrides }, where)
      .filter(({ status }) => status !== "ok")
      .map(({ check }) => check);

  test("those of store and compose are fine", () => {
    expect(wrong({})).toEqual([]);
  });

  test.each([
    ["shared_buffers", { sharedBuffersBytes: GIB / 8 }],
    ["max_wal_size", { maxWalSizeBytes: GIB }],
    ["checkpoint_timeout", { checkpointTimeoutSeconds: 300 }],
    ["wal_compression", { walCompression: "off" }],
    ["work_mem", { workMemBytes: GIB / 256 }],
    ["timescaledb.max_background_workers", { timescaledbBackgroundWorkers: 16 }],
    ["max_worker_processes", { maxWorkerProcesses: 42 }],
  ])("%s of PostgreSQL's own default is a warning", (name, overrides) => {
    expect(wrong(overrides)).toEqual([name]);
  });

  test("shared buffers are held against the machine where it is known", () => {
    expect(wrong({ sharedBuffersBytes: GIB / 4 }, { ...machine, memoryBytes: GIB })).toEqual([]);
    expect(wrong({ sharedBuffersBytes: GIB / 4 }, { ...machine, memoryBytes: undefined })).toEqual([
      "shared_buffers",
    ]);
  });

  test("without TimescaleDB nothing is said of its workers", () => {
    const checks = judgeSettings(
      { ...good, timescaledbBackgroundWorkers: null },
      { memoryBytes: undefined, jobCount: 0 },
    ).map(({ check }) => check);
    expect(checks).not.toContain("max_worker_processes");
  });
});

describe("the disk", () => {
  const growth: StorageGrowth = {
    databaseBytes: 70 * GIB,
    bytesPerDay: 10 * GIB,
    retentionDays: 7,
    storedDays: 7,
  };

  test.each([
    ["as much goes as comes", growth, 15, "ok"],
    ["six more days will come", { ...growth, storedDays: 1 }, 15, "fail"],
    ["there is room for all that will be kept", { ...growth, storedDays: 1 }, 100, "ok"],
    ["it fills before rows go", { ...growth, storedDays: 1 }, 40, "warn"],
    ["nothing limits it", { ...growth, retentionDays: null }, 100, "warn"],
    ["nothing limits it, and it is large", { ...growth, retentionDays: null }, 1_000, "ok"],
    ["it is full, whatever comes", { ...growth, bytesPerDay: null }, 0.5, "fail"],
  ])("%s: %j with %p GB free is %s", (_, measured, freeGib, status) => {
    expect(judgeDisk(measured, freeGib * GIB).status).toBe(status as "ok");
  });

  test("without knowing what is free, the rate is told and nothing is claimed", () => {
    const finding = judgeDisk(growth, undefined);
    expect(finding.status).toBe("unknown");
    expect(finding.detail).toContain("10 GB come a day");
  });
});

test("roles that a restored server lacks are a failure", () => {
  const roles = ["timespan_owner", "timespan_reader"].map((name) => ({ name, present: true, usable: true }));
  expect(judgeRoles(roles).status).toBe("ok");
  expect(judgeRoles([...roles, { name: "timespan_writer", present: false, usable: false }])).toMatchObject({
    status: "fail",
    detail: "the server lacks timespan_writer",
  });
});

test("the settings of compose.yaml are those that the doctor wants", () => {
  const compose = readFileSync(join(import.meta.dir, "../../../compose.yaml"), "utf8");
  const value = (name: string) => Number(new RegExp(`--${name}=(\\d+)`).exec(compose)?.[1]);
  const workers = value("timescaledb.max_background_workers");
  expect(workers).toBeGreaterThanOrEqual(40); // two policies for each of 15 tables and rollups, the refresh, and some to spare
  expect(value("max_worker_processes")).toBeGreaterThanOrEqual(workers + 8 + 3); // 8 is PostgreSQL's max_parallel_workers
});

test("sizes and times are said as people do", () => {
  expect([bytes(512 * 1024 ** 2), bytes(2.5 * GIB)]).toEqual(["512 MB", "2.5 GB"]);
  expect([span(40), span(900), span(10_800), span(259_200)]).toEqual(["40 s", "15 min", "3 h", "3 d"]);
  expect(some(["a", "b", "c", "d", "e"])).toBe("a, b, c and 2 more");
});
