/**
 * `bun run docs`: writes docs/settings.md and .env.example from the schemas that the apps read their settings with,
 * so that neither can say anything else than the code does. A test holds both files up to date.
 */
import { writeFileSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { settings as errorStream } from "../apps/error-stream/src/config.ts";
import { settings as queryApi } from "../apps/query-api/src/config.ts";
import { settings as streamProcessor } from "../apps/stream-processor/src/config.ts";
import { settings as timespan } from "../apps/timespan/src/config.ts";

const REPOSITORY = resolve(import.meta.dir, "..");

/** The part of a zod schema that is looked at. */
interface Schema {
  description?: string | undefined;
  meta?: { (): object | undefined; (data: never): unknown };
  def: {
    type: string;
    in?: Schema;
    out?: Schema;
    innerType?: Schema;
    defaultValue?: unknown;
    entries?: object;
  };
  minValue?: number | null;
  maxValue?: number | null;
}

export interface Setting {
  name: string;
  /** As it would be written; undefined where there is none. */
  fallback: string | undefined;
  /** In words, where it depends on the machine. */
  fallbackText?: string;
  required: boolean;
  values: string;
  meaning: string;
}

/** What `compose.yaml` itself reads, beside the settings of the apps. */
export const composeSettings: readonly Setting[] = [
  compose(
    "POSTGRES_PASSWORD",
    "timespan",
    "Password of the user `timespan`; letters, digits, `-` and `_`. Set it before the first start: the volume of the database remembers the one it was made with.",
  ),
  compose("POSTGRES_SHARED_BUFFERS", "512MB", "PostgreSQL's own cache: a quarter of the memory it may use."),
  compose(
    "POSTGRES_EFFECTIVE_CACHE_SIZE",
    "1536MB",
    "What PostgreSQL may expect to be cached in all: three quarters.",
  ),
  compose("POSTGRES_WORK_MEM", "32MB", "Memory of one sort or hash of a query."),
  compose("POSTGRES_MAINTENANCE_WORK_MEM", "256MB", "Memory of one index build or compression."),
  compose(
    "POSTGRES_MAX_WAL_SIZE",
    "8GB",
    "Write-ahead log between two checkpoints; it needs that much disk.",
  ),
  compose("POSTGRES_MEMORY", "2g", "Most memory of the container of the database."),
  compose("KAFKA_HEAP", "512m", "Most heap of Kafka's JVM."),
  compose("KAFKA_MEMORY", "1g", "Most memory of the container of Kafka."),
  compose("KAFKA_RETENTION_HOURS", "48", "Hours for which Kafka keeps events, stored or not."),
  compose("KAFKA_RETENTION_BYTES", "2147483648", "Most bytes that Kafka keeps of one partition."),
  compose("AUTH", "required", "As above; here the apps listen on every address of their containers."),
  compose("WORKERS", "2", "As above; not the machine's cores here, because each needs memory."),
  compose(
    "STREAM_PROCESSOR_MEMORY",
    "768m",
    "Most memory of the stream-processor: 200 MB, 70 MB for each of `WORKERS`, and twice `INGEST_BUFFER_MB`.",
  ),
];

function compose(name: string, fallback: string, meaning: string): Setting {
  return { name, fallback, required: false, values: "", meaning };
}

/** The settings of each app, in the order of its schema. */
export const appSettings: Readonly<Record<string, readonly Setting[]>> = {
  timespan: readSchema(timespan.shape),
  "stream-processor": readSchema(streamProcessor.shape),
  "query-api": readSchema(queryApi.shape),
  "error-stream": readSchema(errorStream.shape),
};

function readSchema(shape: Readonly<Record<string, Schema>>): Setting[] {
  return Object.entries(shape).map(([name, schema]) => {
    const inner = unwrap(schema);
    const { defaultText }: { defaultText?: unknown } = schema.meta?.() ?? {};
    return {
      name,
      ...(typeof defaultText === "string"
        ? { fallback: undefined, fallbackText: defaultText }
        : { fallback: fallbackOf(inner) }),
      required: inner.def.type !== "default" && schema.def.type !== "optional",
      values: valuesOf(inner),
      meaning: schema.description ?? "",
    };
  });
}

/** The schema with a default within the checks and transformations around it; the schema itself where it has none. */
function unwrap(schema: Schema): Schema {
  if (schema.def.type === "pipe" && schema.def.in !== undefined) return unwrap(schema.def.in);
  if (schema.def.type === "optional" && schema.def.innerType !== undefined)
    return unwrap(schema.def.innerType);
  return schema;
}

function fallbackOf({ def }: Schema): string | undefined {
  if (def.type !== "default") return undefined;
  const value = def.defaultValue;
  if (Array.isArray(value)) return value.length === 0 ? undefined : value.join(",");
  const text = String(value);
  // A path of this machine would mean nothing to another.
  return text.startsWith(REPOSITORY) ? relative(REPOSITORY, text) : text;
}

function valuesOf(schema: Schema): string {
  const { def } = schema;
  if (def.type === "default") {
    if (typeof def.defaultValue === "boolean") return "`true` or `false`";
    if (Array.isArray(def.defaultValue)) return "list";
    if (typeof def.defaultValue === "string" && /^\d+[smhd]$/.test(def.defaultValue)) {
      return "length of time: `90s`, `15m`, `6h`, `7d`";
    }
    return def.innerType === undefined ? "" : valuesOf(def.innerType);
  }
  if (def.type === "pipe" && def.out !== undefined) return valuesOf(def.out);
  if (def.type === "enum")
    return Object.keys(def.entries ?? {})
      .map(code)
      .join(", ");
  if (def.type === "number") return `${grouped(schema.minValue)} to ${grouped(schema.maxValue)}`;
  return "text";
}

function grouped(value: number | null | undefined): string {
  return Number(value).toLocaleString("en");
}

function code(text: string): string {
  return `\`${text}\``;
}

const INTRODUCTIONS: Readonly<Record<string, string>> = {
  timespan:
    "Read by `bun run up`, `down`, `demo`, `migrate` and `sample:*`. The apps they start inherit the environment, so the settings of the apps below can be given to these commands too.",
  "stream-processor": "From Kafka into the database.",
  "query-api": "The HTTP API.",
  "error-stream": "Live errors by WebSocket.",
};

/** The text of docs/settings.md. */
export function settingsPage(): string {
  const sections = Object.entries(appSettings).flatMap(([app, settings]) => [
    `## ${app}`,
    "",
    INTRODUCTIONS[app] ?? "",
    "",
    ...table(
      ["Variable", "Default", "Values", "Meaning"],
      settings.map(({ name, fallback, fallbackText, required, values, meaning }) => [
        code(name),
        required ? "required" : (fallbackText ?? (fallback === undefined ? "–" : code(fallback))),
        values,
        meaning,
      ]),
    ),
    "",
  ]);
  return `${[
    "<!-- Generated by `bun run docs` from the schemas in apps/*/src/config.ts: change those. -->",
    "",
    "# Settings",
    "",
    "Every setting is an environment variable, read once at the start. A value that is wrong ends the process with all",
    "problems listed. An empty variable counts as absent. Units are in the names or in the meaning.",
    "",
    "Variables of the older backend that have no meaning any more (`ELASTICSEARCH_*`, `*AGGREGATOR_*`) are ignored;",
    "each that is still set is logged at the start, with what replaced it.",
    "",
    ...sections,
    "## compose.yaml",
    "",
    "`compose.yaml` passes the settings of the apps on, except those that belong to the stack itself: addresses, ports",
    "within containers, TLS and logins. The port variables of `timespan` above are the published ports here too. These",
    "are its own:",
    "",
    ...table(
      ["Variable", "Default", "Meaning"],
      composeSettings.map(({ name, fallback, meaning }) => [code(name), code(fallback ?? ""), meaning]),
    ),
  ].join("\n")}\n`;
}

/** Lines of a Markdown table, aligned as the formatter wants them. */
function table(header: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const cells = [header, ...rows].map((row) => row.map((text) => text.replaceAll("|", "\\|")));
  const widths = header.map((_, column) => Math.max(3, ...cells.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]) =>
    `| ${row.map((text, column) => text.padEnd(widths[column] ?? 0)).join(" | ")} |`;
  const [head = [], ...body] = cells;
  return [line(head), line(widths.map((width) => "-".repeat(width))), ...body.map(line)];
}

const EXAMPLE_TITLES: Readonly<Record<string, string>> = {
  timespan: "The local stack: `bun run up` and `bun run demo`. The ports are those of compose.yaml too.",
  "stream-processor": "stream-processor",
  "query-api": "query-api",
  "error-stream": "error-stream",
  "compose.yaml": "compose.yaml only",
};

/** The text of .env.example: every variable once, as a comment that shows its default. */
export function environmentExample(): string {
  const groups = Object.entries({ ...appSettings, "compose.yaml": composeSettings });
  const written = new Set<string>();
  const lines = [
    "# Generated by `bun run docs` from the schemas in apps/*/src/config.ts: change those.",
    "# Copy it to .env and uncomment what should differ: Bun and Docker Compose both read that file.",
    "# Nothing here has to be set. Everything is explained in docs/settings.md.",
  ];
  for (const [group, settings] of groups) {
    const fresh = settings.filter(({ name }) => !written.has(name));
    lines.push("", `# --- ${EXAMPLE_TITLES[group] ?? group}`);
    for (const { name, meaning } of fresh) {
      written.add(name);
      const users = groups.flatMap(([user, all]) =>
        all
          .filter((setting) => setting.name === name)
          .map(({ fallback, fallbackText }) => ({ user, fallback: fallback ?? fallbackText })),
      );
      const fallbacks = new Set(users.map(({ fallback }) => fallback));
      lines.push("", `# ${meaning}`);
      if (fallbacks.size === 1) lines.push(`# ${name}=${users[0]?.fallback ?? ""}`);
      else {
        const each = users.map(({ user, fallback }) => `${fallback ?? "none"} (${user})`);
        lines.push(`# Defaults: ${each.join(", ")}.`, `# ${name}=`);
      }
    }
  }
  return `${lines.join("\n")}\n`;
}

/** The generated files, by path in the repository. */
export const GENERATED: Readonly<Record<string, () => string>> = {
  "docs/settings.md": settingsPage,
  ".env.example": environmentExample,
};

if (import.meta.main) {
  for (const [path, text] of Object.entries(GENERATED)) {
    writeFileSync(join(REPOSITORY, path), text());
    console.log(`wrote ${path}`);
  }
}
