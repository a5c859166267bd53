import { createHash } from "node:crypto";

/** A distinct set of resource attributes and its id. */
export interface Resource {
  /** First 8 bytes of the SHA-256 of `attributesJson`, as 16 hex digits. */
  resourceId: string;
  attributesJson: string;
}

/** Resources remembered by a process; beyond it the memory starts afresh, which costs only time. */
const KNOWN_MAX = 10_000;
const known = new Map<string, Resource>();

/** The resource of an event that says only its service and environment. */
export function serviceResource(serviceName: string, environment: string): Resource {
  const key = `${environment}\0${serviceName}`;
  const found = known.get(key);
  if (found !== undefined) return found;
  const attributesJson = JSON.stringify({
    "deployment.environment.name": environment,
    "service.name": serviceName,
  });
  const resourceId = createHash("sha256").update(attributesJson).digest("hex").slice(0, 16);
  const resource = { resourceId, attributesJson };
  if (known.size >= KNOWN_MAX) known.clear();
  known.set(key, resource);
  return resource;
}
