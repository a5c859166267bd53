import { serializeAttributes, setAttribute } from "../../attributes.ts";
import { environmentName } from "../../environment-name.ts";
import type { Guards } from "../../guards.ts";
import { storableText } from "../../rejection.ts";
import { type Resource, resourceOf } from "../../resource.ts";
import { NAME_CHARACTERS_MAX } from "../event-fields.ts";
import type { Attributes, Group, OtlpScope } from "./export-request.ts";

/** What OpenTelemetry calls a service that does not say its name. */
export const UNKNOWN_SERVICE = "unknown_service";
/** The environment of a resource that does not say where it runs. */
export const DEFAULT_ENVIRONMENT = "default";

/** What the items of a group have in common. */
export interface Emitter {
  resource: Resource;
  serviceName: string;
  environment: string;
  /** To be added to the attributes of each item by {@link addScope}. */
  scopeAttributes: readonly ScopeAttribute[];
  /** Why no item of the group can be stored. */
  problems: string[];
}

export type ScopeAttribute = readonly [key: string, value: unknown];

/** Reads the emitter of each group, and remembers that of the last resource: groups of one often follow each other. */
export function emitterReader(guards: Guards): (group: Group<unknown>) => Emitter {
  let lastResource: Group<unknown>["resource"] | undefined;
  let last: Omit<Emitter, "scopeAttributes"> | undefined;
  return ({ resource, scope }) => {
    if (last === undefined || resource !== lastResource) {
      const attributes = guards.attributes(resource.attributes);
      const problems: string[] = [];
      last = {
        resource: resourceOf(serializeAttributes(sortedByKey(attributes), resource.leftOut)),
        serviceName: dimension(attributes, ["service.name"], problems) ?? UNKNOWN_SERVICE,
        environment: environmentName(
          dimension(attributes, ["deployment.environment.name", "deployment.environment"], problems) ??
            DEFAULT_ENVIRONMENT,
        ),
        problems,
      };
      lastResource = resource;
    }
    return { ...last, scopeAttributes: readScope(scope, guards) };
  };
}

/** Under the names that OpenTelemetry gives them where a format has no place for a scope. */
function readScope({ name, version, attributes }: OtlpScope, guards: Guards): ScopeAttribute[] {
  const result = Object.entries(guards.attributes(attributes)).map(
    ([key, value]): ScopeAttribute => [`otel.scope.${key}`, value],
  );
  if (name !== "") result.push(["otel.scope.name", name]);
  if (version !== "") result.push(["otel.scope.version", version]);
  return result;
}

/** Adds the attributes of an item's scope to its own. */
export function addScope(attributes: Attributes, scopeAttributes: readonly ScopeAttribute[]): void {
  for (const [key, value] of scopeAttributes) attributes[key] = value;
}

/** Adds how many of `what` a client left out, where it did. */
export function noteDropped(
  attributes: Attributes,
  count: number,
  what: "attributes" | "events" | "links",
): void {
  if (count > 0) attributes[`otel.dropped_${what}_count`] = count;
}

/** The first of `keys` that says something. Too long is a problem: cutting it would merge what differs. */
function dimension(
  attributes: Readonly<Attributes>,
  keys: readonly string[],
  problems: string[],
): string | undefined {
  for (const key of keys) {
    const value = attributes[key];
    const text = typeof value === "number" || typeof value === "boolean" ? String(value) : value;
    if (typeof text !== "string" || text === "") continue;
    if (text.length <= NAME_CHARACTERS_MAX) return storableText(text);
    problems.push(`${key}: must have at most ${NAME_CHARACTERS_MAX} characters`);
    return undefined;
  }
  return undefined;
}

function sortedByKey(attributes: Readonly<Attributes>): Attributes {
  const sorted: Attributes = {};
  for (const key of Object.keys(attributes).sort()) setAttribute(sorted, key, attributes[key]);
  return sorted;
}
