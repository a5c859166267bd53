import { textAttribute } from "./attributes.ts";
import { SPAN_KIND } from "./span-kind.ts";

/**
 * The attributes that name the other side of a call, the most telling first: old and current semantic conventions.
 * A service's own name beats a system's, and a system's beats a host's.
 */
const PEER_KEYS = [
  "peer.service",
  "service.peer.name",
  "db.namespace",
  "db.name",
  "db.system.name",
  "db.system",
  "messaging.destination.name",
  "messaging.destination",
  "messaging.system",
  "rpc.service",
  "server.address",
  "net.peer.name",
  "http.host",
] as const;

/** Whom a client or producer span called; null for other kinds, and where nothing says it. */
export function peerServiceOf(
  spanKind: number,
  attributes: Readonly<Record<string, unknown>>,
): string | null {
  if (spanKind !== SPAN_KIND.CLIENT && spanKind !== SPAN_KIND.PRODUCER) return null;
  for (const key of PEER_KEYS) {
    const value = textAttribute(attributes, key);
    if (value !== undefined) return value;
  }
  return null;
}
