/** A set of PostgreSQL programs that can carry our cluster. */
export interface PostgresBinaries {
  /** `timescaledb`: installed on this machine with TimescaleDB Community. `embedded`: plain, from npm. */
  flavour: "timescaledb" | "embedded";
  /** Holds `initdb` and `postgres`. */
  binDir: string;
  major: number;
  /** Such as "17.11". */
  version: string;
  timescaledbVersion?: string;
}

/** The version out of `postgres --version` or `pg_config --version`; undefined when there is none in it. */
export function parsePostgresVersion(output: string): { major: number; version: string } | undefined {
  const match = /PostgreSQL\)? (\d+)([.\w]*)/.exec(output);
  return match ? { major: Number(match[1]), version: `${match[1]}${match[2]}` } : undefined;
}
