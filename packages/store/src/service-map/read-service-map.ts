import type { Access } from "@timespan/telemetry/access";
import {
  HEALTHS,
  type ServiceMapEdge,
  type ServiceMapNode,
} from "@timespan/telemetry/api/service-map-answer";
import type { TimeUs } from "@timespan/telemetry/timestamp";
import type { Database } from "../database.ts";
import type { RequestFigures } from "../query/rank-requests.ts";
import type { RollupUse, Window } from "../query/request-segments.ts";
import { listServices } from "../services/list-services.ts";
import { nodeId, readEdges } from "./read-edges.ts";

/** Services of one map, those with the most requests. */
export const MAP_SERVICES_MAX = 1_000;

export interface ServiceMapRows {
  storedUntilUs: TimeUs | null;
  nodes: ServiceMapNode[];
  edges: ServiceMapEdge[];
  truncated: boolean;
}

/**
 * The map of a window that begins and ends on whole minutes: every service with a span in it, also one that calls
 * nobody, and what they called.
 * @throws the driver's error where the database is away or a statement ran into its limit
 */
export async function readServiceMap(
  database: Database,
  access: Access,
  rollups: RollupUse,
  question: { window: Window; environment?: string | undefined },
): Promise<ServiceMapRows> {
  const [services, { storedUntilUs, edges, targets, truncated }] = await Promise.all([
    listServices(database, access, rollups, {
      ...question,
      sort: "request_count",
      limit: MAP_SERVICES_MAX + 1,
    }),
    readEdges(database, access, question),
  ]);
  const nodes = services.ranked.slice(0, MAP_SERVICES_MAX).map(serviceNode);
  const known = new Set(nodes.map(({ id }) => id));
  // What is called and sends no spans; a service too, where all of its spans are beside the window or hidden.
  for (const target of targets) if (!known.has(target.id)) nodes.push(target);
  return {
    storedUntilUs,
    nodes,
    edges,
    truncated: truncated || services.ranked.length > MAP_SERVICES_MAX,
  };
}

function serviceNode({ key, requestCount, errorRate, p50Ms, p95Ms }: RequestFigures): ServiceMapNode {
  return {
    id: nodeId("service", key),
    name: key,
    type: "service",
    call_count: requestCount,
    error_count: Math.round(errorRate * requestCount * 1_024) / 1_024,
    error_rate: errorRate,
    latency_p50_ms: p50Ms,
    latency_p95_ms: p95Ms,
    health: healthOf(requestCount, errorRate),
  };
}

/** As `timespan.health_of` of the database. */
function healthOf(callCount: number, errorRate: number): ServiceMapNode["health"] {
  if (callCount <= 10) return null;
  const worse = [0.01, 0.05, 0.1].filter((limit) => errorRate > limit).length;
  return HEALTHS[worse] ?? null;
}
