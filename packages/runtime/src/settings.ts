import { z } from "zod";

/** The environment as a process sees it. Only an app's `config.ts` passes `process.env`. */
export type Environment = Record<string, string | undefined>;

/** One or more settings are wrong; the message lists every problem, a line each. */
export class SettingsError extends Error {
  override name = "SettingsError";
  constructor(readonly problems: readonly string[]) {
    super(
      `The configuration has ${problems.length} problem(s):\n${problems.map((p) => `  ${p}`).join("\n")}`,
    );
  }
}

/** A whole number within `min..max`; a value that is not one is a problem, never NaN. */
export const wholeNumber = (fallback: number, min: number, max: number) =>
  z
    .string()
    .regex(/^-?\d+$/, "must be a whole number")
    .transform(Number)
    .pipe(z.number().min(min, `must be at least ${min}`).max(max, `must be at most ${max}`))
    .default(fallback);

export const port = (fallback: number) => wholeNumber(fallback, 1, 65_535);

/** `true`/`false`, `1`/`0`, `yes`/`no`, `on`/`off`, in any case. */
export const flag = (fallback: boolean) => z.stringbool({ error: "must be true or false" }).default(fallback);

/** A comma-separated list; blanks around and empty entries are dropped. */
export const list = (fallback: readonly string[] = []) =>
  z
    .string()
    .transform((text) => text.split(",").map((entry) => entry.trim()))
    .transform((entries) => entries.filter((entry) => entry !== ""))
    .default([...fallback]);

const MS_PER_UNIT = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** `90s`, `15m`, `6h` or `7d` as milliseconds; undefined where it is no length of time, or exceeds ten years. */
export function parseDuration(text: string): number | undefined {
  const match = /^(\d{1,9})([smhd])$/.exec(text.trim());
  const ms = match ? Number(match[1]) * MS_PER_UNIT[match[2] as keyof typeof MS_PER_UNIT] : 0;
  return ms > 0 && ms <= 3_650 * MS_PER_UNIT.d ? ms : undefined;
}

/** A length of time such as `90s`, `15m`, `6h` or `7d`, as milliseconds; must not exceed ten years. */
export const duration = (fallback: `${number}${keyof typeof MS_PER_UNIT}`) =>
  z
    .string()
    .default(fallback)
    .transform((text, context) => {
      const ms = parseDuration(text);
      if (ms !== undefined) return ms;
      context.addIssue({ code: "custom", message: "must be a length of time such as 90s, 15m, 6h or 7d" });
      return z.NEVER;
    });

/**
 * Reads the settings that `schema` names from `env`. An empty variable counts as absent, as compose files write it.
 * @throws {SettingsError} with all problems at once
 */
export function readSettings<S extends z.ZodObject>(schema: S, env: Environment): z.infer<S> {
  const given = Object.fromEntries(
    Object.keys(schema.shape).flatMap((name) => {
      const value = env[name]?.trim();
      return value === undefined || value === "" ? [] : [[name, value]];
    }),
  );
  const result = schema.safeParse(given);
  if (result.success) return result.data;
  throw new SettingsError(
    result.error.issues.map((issue) => {
      const name = issue.path.join(".") || "configuration";
      const missing = issue.code === "invalid_type" && !(name in given);
      return `${name} ${missing ? "is required" : issue.message}`;
    }),
  );
}

/** What `read` returns; or, where settings are wrong, every problem in plain lines and the end of the process. */
export function orExit<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof SettingsError)) throw error;
    console.error(error.message);
    process.exit(1);
  }
}

const REPLACED: readonly { pattern: RegExp; replacement: string }[] = [
  {
    pattern: /^(ELASTICSEARCH|ELASTIC|ES)_/,
    replacement: "set DATABASE_URL: spans and logs are stored in PostgreSQL",
  },
  {
    pattern: /^(METRICS_|ROLLUP_)?AGGREGATOR_/,
    replacement: "nothing to set: rollups are kept by the database, there is no aggregator process",
  },
];

/** A sentence for each variable of the old backend that is still set, saying what replaced it. */
export function replacedVariables(env: Environment): string[] {
  return Object.keys(env)
    .sort()
    .flatMap((name) =>
      REPLACED.filter(({ pattern }) => pattern.test(name) && env[name] !== "").map(
        ({ replacement }) => `${name} is no longer used; ${replacement}`,
      ),
    );
}
