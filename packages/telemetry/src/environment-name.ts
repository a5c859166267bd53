const ALIASES = new Map([
  ["prod", "production"],
  ["dev", "development"],
  ["stage", "staging"],
]);

/** The environment's full name: `prod`, `dev` and `stage`, in any case, are spelled out; others stay as given. */
export function environmentName(name: string): string {
  return ALIASES.get(name.toLowerCase()) ?? name;
}
