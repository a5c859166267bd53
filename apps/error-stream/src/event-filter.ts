import type { ErrorFilter } from "@timespan/store/log-records/list-errors";
import type { Access } from "@timespan/telemetry/access";
import type { ErrorEvent } from "@timespan/telemetry/wire/error-event";

/** Decides for each event whether the clients that share it see it. */
export interface EventFilter {
  /** Equal for filters that see the same events. */
  readonly key: string;
  matches(event: ErrorEvent): boolean;
}

/** What `filter` asks for, of what `access` allows. */
export function compileFilter(filter: ErrorFilter, access: Access): EventFilter {
  const services = both(filter.services, access.services);
  const environments = both(filter.environments, access.environments);
  const { message } = filter;
  const labels = [...filter.labels].sort((a, b) => (a.key < b.key ? -1 : 1));
  return {
    key: JSON.stringify([listed(services), listed(environments), message, labels]),
    matches: (event) =>
      (services === null || services.has(event.service_name)) &&
      (environments === null || environments.has(event.environment)) &&
      (message === null || event.message.includes(message)) &&
      labels.every(({ key, value }) => labelText(event.labels?.[key]) === value),
  };
}

/** The names that are in both lists, of which null allows any. */
function both(a: readonly string[] | null, b: readonly string[] | null): ReadonlySet<string> | null {
  if (a === null || b === null) return a === null ? (b === null ? null : new Set(b)) : new Set(a);
  return new Set(a.filter((name) => b.includes(name)));
}

function listed(names: ReadonlySet<string> | null): string[] | null {
  return names === null ? null : [...names].sort();
}

/** As PostgreSQL's `->>` gives it, so that a replay from the store matches what is matched live. */
function labelText(value: unknown): string | undefined {
  if (value === null || value === undefined) return undefined;
  return typeof value === "string" ? value : JSON.stringify(value);
}
