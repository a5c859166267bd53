import { readdirSync, readFileSync } from "node:fs";

/** Ticks of a second in /proc/…/stat; fixed at 100 on every Linux that matters here. */
const TICKS_PER_SECOND = 100;

/**
 * CPU seconds that a process and its children, running and gone, have used since they began.
 * @returns undefined where there is no /proc
 */
export function cpuSeconds(pid: number): number | undefined {
  try {
    const own = readStat(pid);
    const children = readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name))
      .map((name) => readStat(Number(name)))
      .filter((stat) => stat?.parent === pid);
    if (own === undefined) return undefined;
    const ticks =
      own.ticks + own.goneChildrenTicks + children.reduce((sum, stat) => sum + (stat?.ticks ?? 0), 0);
    return ticks / TICKS_PER_SECOND;
  } catch {
    return undefined;
  }
}

function readStat(pid: number): { parent: number; ticks: number; goneChildrenTicks: number } | undefined {
  try {
    // The name in parentheses may hold blanks; what follows the last one is numbers.
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    const number = (index: number) => Number(fields[index]);
    return { parent: number(1), ticks: number(11) + number(12), goneChildrenTicks: number(13) + number(14) };
  } catch {
    return undefined; // ended between being listed and being read
  }
}

/** The most resident memory that a process ever had, in megabytes. */
export function peakMemoryMb(pid: number): number {
  const line = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  return Number(line?.[1] ?? 0) / 1_000;
}
