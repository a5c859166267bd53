import { systemClock } from "@timespan/runtime/clock";
import { duration } from "@timespan/runtime/settings";
import type { Database } from "@timespan/store/database";
import { API_KEY_SCOPES, type ApiKeyScope } from "@timespan/telemetry/api-key";
import { type Command, InvalidArgumentError } from "commander";
import { createKey, listKeys, revokeKey } from "./keys.ts";

type WithDatabase = <T>(work: (database: Database) => Promise<T>) => Promise<T>;

/** `keys create | list | revoke`, below `keys`. */
export function registerKeys(keys: Command, withDatabase: WithDatabase): void {
  keys.description("API keys: who may ask the API, and for what");

  keys
    .command("create")
    .description("make a key and print it, once: it is stored nowhere")
    .requiredOption("--name <name>", "who or what will use it")
    .option("--scope <scope>", "read, ingest or admin (both); may be repeated (default: read)", scope)
    .option("--environment <name>", "may see only this environment; may be repeated", collect)
    .option("--service <name>", "may see only this service; may be repeated", collect)
    .option("--expires <time>", "stops working after: 12h, 90d", lengthOfTime)
    .action(async (options: CreateArguments) => {
      const { name, scope: scopes = ["read"], environment = [], service = [], expires } = options;
      const created = await withDatabase((database) =>
        createKey(database, {
          name,
          scopes,
          environments: environment,
          services: service,
          expiresAt: expires === undefined ? undefined : new Date(systemClock.nowMs() + expires),
        }),
      );
      // The key alone is on standard output: KEY=$(… keys create --name dashboard) holds nothing else.
      console.error(created.explanation);
      console.log(created.key);
    });

  keys
    .command("list")
    .description("list the keys that work, newest first")
    .option("--all", "also those that are expired or revoked", false)
    .option("--json", "as JSON", false)
    .action(async (options: { all: boolean; json: boolean }) => {
      console.log(await withDatabase((database) => listKeys(database, options)));
    });

  keys
    .command("revoke")
    .description("make a key stop working")
    .argument("<id or name>", "of the key")
    .action(async (idOrName: string) => {
      console.log(await withDatabase((database) => revokeKey(database, idOrName)));
    });
}

interface CreateArguments {
  name: string;
  scope?: ApiKeyScope[];
  environment?: string[];
  service?: string[];
  /** Milliseconds. */
  expires?: number;
}

function scope(text: string, before: ApiKeyScope[] = []): ApiKeyScope[] {
  const found = API_KEY_SCOPES.find((each) => each === text);
  if (found === undefined) throw new InvalidArgumentError(`must be one of ${API_KEY_SCOPES.join(", ")}`);
  return [...new Set([...before, found])];
}

function collect(text: string, before: string[] = []): string[] {
  if (text === "") throw new InvalidArgumentError("must not be empty");
  return [...before, text];
}

function lengthOfTime(text: string): number {
  const result = duration("1d").safeParse(text);
  if (result.success) return result.data;
  throw new InvalidArgumentError(result.error.issues[0]?.message ?? "is not valid");
}
