import type postgres from "postgres";
import type { Database } from "../database.ts";

/** A piece of a statement with its own parameters. */
export type Fragment = postgres.Fragment;

/** The condition on `value`, or nothing where no value was given. */
export function given<T>(value: T | null | undefined, condition: (value: T) => Fragment): Fragment[] {
  return value === null || value === undefined ? [] : [condition(value)];
}

/** `WHERE` with every condition, or nothing at all where there is none. */
export function where(database: Database, ...conditions: readonly Fragment[][]): Fragment {
  const [first, ...others] = conditions.flat();
  if (first === undefined) return database``;
  return others.reduce((all, next) => database`${all}\n  AND ${next}`, database`WHERE ${first}`);
}
