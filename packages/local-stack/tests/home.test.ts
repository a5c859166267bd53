import { afterAll, expect, test } from "bun:test";
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { holdHome, homeHolder } from "../src/home.ts";
import { readPidFile, writePidFile } from "../src/pid-file.ts";
import { processCommand, processIdentity } from "../src/process-identity.ts";
import { pidFilesDir, stopLeftovers } from "../src/stop-leftovers.ts";

const root = mkdtempSync(join(tmpdir(), "timespan-home-"));
afterAll(() => rmSync(root, { recursive: true }));

test("a home is held by one process at a time", () => {
  const home = join(root, "held");
  const release = holdHome(home);
  expect(homeHolder(home)?.pid).toBe(process.pid);
  expect(() => holdHome(home)).toThrow(/already runs in .*TIMESPAN_HOME/s);
  release();
  expect(homeHolder(home)).toBeUndefined();
  holdHome(home)();
  expect(readdirSync(home)).toEqual([]);
});

test("a holder that was killed, or whose process id somebody else got, holds nothing", () => {
  const home = join(root, "stale");
  mkdirSync(home);
  const record = { name: "timespan", pid: process.pid, identity: "another start", stop_signal: "SIGTERM" };
  for (const content of [JSON.stringify(record), "half a fi"]) {
    writeFileSync(join(home, "timespan.pid"), content);
    expect(homeHolder(home)).toBeUndefined();
    holdHome(home)();
  }
});

test("a process is told from another with the same id by its start", async () => {
  const child = spawn("sleep", ["60"]);
  const pid = child.pid ?? 0;
  expect(processIdentity(pid)).toBe(processIdentity(pid));
  expect(processCommand(pid)).toBe("sleep 60");
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  await ended;
  expect(processIdentity(pid)).toBeUndefined();
});

test("leftovers are stopped in order, servers last, and named", async () => {
  const home = join(root, "leftovers");
  mkdirSync(pidFilesDir(home), { recursive: true });
  const children = ["postgres", "kafka", "query-api"].map((name) => {
    const child = spawn("sleep", ["60"], { detached: true });
    const path = join(pidFilesDir(home), `${name}.json`);
    writePidFile(path, { name, pid: child.pid ?? 0, stopSignal: "SIGTERM" });
    expect(readPidFile(path)?.pid).toBe(child.pid ?? 0);
    return child;
  });
  const lines: string[] = [];
  expect(await stopLeftovers(home, (line) => lines.push(line))).toEqual(["query-api", "kafka", "postgres"]);
  expect(lines[0]).toMatch(/^Stopping query-api \(process \d+\), left running by an earlier stack/);
  expect(children.every(({ pid }) => processIdentity(pid ?? 0) === undefined)).toBe(true);
  expect(readdirSync(pidFilesDir(home))).toEqual([]);
  expect(await stopLeftovers(home, (line) => lines.push(line))).toEqual([]);
  expect(existsSync(home)).toBe(true);
});
