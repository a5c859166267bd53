/**
 * What a check found. `warn`: somebody should look, nothing is lost. `fail`: something does not work, or will soon be
 * lost. `unknown`: it could not be told.
 */
export type Status = "ok" | "warn" | "fail" | "unknown";

export interface Finding {
  /** Stable, for scripts. */
  check: string;
  status: Status;
  /** What is so, as a sentence without an end. */
  detail: string;
  /** What to do about it; there wherever something is to be done. */
  remedy?: string;
}

export function ok(check: string, detail: string): Finding {
  return { check, status: "ok", detail };
}

const GIB = 1024 ** 3;
const MIB = 1024 ** 2;

/** As "512 MB" or "2.5 GB"; PostgreSQL's units, which are powers of 1024. */
export function bytes(count: number): string {
  if (count >= GIB) return `${Math.round((count / GIB) * 10) / 10} GB`;
  return `${Math.round((count / MIB) * 10) / 10} MB`;
}

/** As "40 s", "15 min", "3 h" or "2 d", of the largest unit that fits twice. */
export function span(seconds: number): string {
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3_600)} h`;
  return `${Math.round(seconds / 86_400)} d`;
}

/** The first few, and how many more there are. */
export function some(items: readonly string[], shown = 3): string {
  const more = items.length - shown;
  return items.slice(0, shown).join(", ") + (more > 0 ? ` and ${more} more` : "");
}
