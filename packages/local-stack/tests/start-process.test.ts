import { afterAll, expect, test } from "bun:test";
import {
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { processIdentity } from "../src/process-identity.ts";
import { logTail, shrinkLog } from "../src/shrink-log.ts";
import { type ProcessSpec, startProcess } from "../src/start-process.ts";

const root = mkdtempSync(join(tmpdir(), "timespan-process-"));
afterAll(() => rmSync(root, { recursive: true }));

function script(name: string, code: string): ProcessSpec {
  const path = join(root, `${name}.ts`);
  writeFileSync(path, code);
  return {
    name,
    command: process.execPath,
    args: [path],
    environment: { PATH: "/usr/bin:/bin" },
    cwd: root,
    logFile: join(root, "logs", `${name}.log`),
    pidFile: join(root, "run", `${name}.json`),
    stop: { signal: "SIGTERM", graceMs: 300, lastSignal: "SIGKILL" },
  };
}

async function saying(spec: ProcessSpec, text: string) {
  const running = await startProcess(spec);
  while (!logTail(spec.logFile, 5, running.logOffset).includes(text)) await Bun.sleep(10);
  return running;
}

test("a process is stopped cleanly, its output is in the log and its pid file is gone", async () => {
  const spec = script(
    "clean",
    `process.on("SIGTERM", () => process.exit(7)); console.log("here"); setInterval(() => {}, 1e3);`,
  );
  const running = await saying(spec, "here");
  expect(existsSync(spec.pidFile)).toBe(true);
  await running.stop();
  expect(await running.exited).toEqual({ code: 7, signal: null });
  expect(existsSync(spec.pidFile)).toBe(false);
  await running.stop();
});

test("a process that ignores the request is ended by force after its grace", async () => {
  const running = await saying(
    script("deaf", `process.on("SIGTERM", () => {}); console.log("here"); setInterval(() => {}, 1e3);`),
    "here",
  );
  await running.stop();
  expect(await running.exited).toEqual({ code: null, signal: "SIGKILL" });
});

test("kill() takes along what the process started", async () => {
  const spec = script(
    "parent",
    `const c = Bun.spawn(["sleep", "60"]); console.log("child=" + c.pid + "."); setInterval(() => {}, 1e3);`,
  );
  const running = await saying(spec, ".");
  const child = Number(/child=(\d+)\./.exec(readFileSync(spec.logFile, "utf8"))?.[1]);
  running.kill();
  await running.exited;
  for (let i = 0; i < 100 && processIdentity(child) !== undefined; i += 1) await Bun.sleep(10);
  expect(processIdentity(child)).toBeUndefined();
});

test("a process has a session of its own: the terminal's Ctrl-C is not for it", async () => {
  const running = await saying(script("session", `console.log("here"); setInterval(() => {}, 1e3);`), "here");
  // A group of that number exists only if the process leads it.
  expect(process.kill(-running.pid, 0)).toBe(true);
  await running.stop();
});

test("a program that does not exist is a rejection", () => {
  const spec = { ...script("missing", ""), command: join(root, "no-such-program") };
  expect(startProcess(spec)).rejects.toThrow(/ENOENT/);
});

test("a log that grew too large is put aside, and its writer goes on at the start of the file", () => {
  const path = join(root, "big.log");
  writeFileSync(path, "first\n");
  shrinkLog(path);
  expect(statSync(path).size).toBe(6);
  truncateSync(path, 21 * 1024 * 1024);
  shrinkLog(path);
  expect(statSync(path).size).toBe(0);
  expect(statSync(`${path}.1`).size).toBe(21 * 1024 * 1024);
});

test("the tail of a log is of this run only, also when the file was put aside meanwhile", () => {
  const path = join(root, "tail.log");
  writeFileSync(path, "old\nnew 1\nnew 2\n");
  expect(logTail(path, 5, 4)).toBe("new 1\nnew 2");
  expect(logTail(path, 1, 4)).toBe("new 2");
  expect(logTail(path, 5, 1_000)).toBe("old\nnew 1\nnew 2");
  expect(logTail(join(root, "none.log"), 5)).toBe("");
});
