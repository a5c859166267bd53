import { createHash } from "node:crypto";

/** What emits signals: a distinct set of OpenTelemetry resource attributes, and its id. */
export interface Resource {
  /** First 8 bytes of the SHA-256 of `attributesJson`, as 16 hex digits. */
  resourceId: string;
  /** The attributes as JSON with sorted keys, fit for `jsonb`. */
  attributesJson: string;
}

/** Resources remembered by a process; beyond it the memory starts afresh, which costs only time. */
const REMEMBERED_MAX = 10_000;
const remembered = new Map<string, Resource>();

/** The resource whose attributes are `attributesJson`, which must have its keys sorted. */
export function resourceOf(attributesJson: string): Resource {
  const found = remembered.get(attributesJson);
  if (found !== undefined) return found;
  const resourceId = createHash("sha256").update(attributesJson).digest("hex").slice(0, 16);
  const resource = { resourceId, attributesJson };
  if (remembered.size >= REMEMBERED_MAX) remembered.clear();
  remembered.set(attributesJson, resource);
  return resource;
}

/** The same for events that say only their service and environment, found without writing JSON for each. */
const rememberedByName = new Map<string, Map<string, Resource>>();
let rememberedByNameCount = 0;

/** The resource of an event that says only its service and environment. */
export function serviceResource(serviceName: string, environment: string): Resource {
  const found = rememberedByName.get(serviceName)?.get(environment);
  if (found !== undefined) return found;
  const resource = resourceOf(
    `{"deployment.environment.name":${JSON.stringify(environment)},"service.name":${JSON.stringify(serviceName)}}`,
  );
  if (rememberedByNameCount >= REMEMBERED_MAX) {
    rememberedByName.clear();
    rememberedByNameCount = 0;
  }
  rememberedByNameCount++;
  const ofService = rememberedByName.get(serviceName) ?? new Map<string, Resource>();
  rememberedByName.set(serviceName, ofService.set(environment, resource));
  return resource;
}
