import type { Access } from "@timespan/telemetry/access";
import type { ServiceMapEdge, ServiceMapNode } from "@timespan/telemetry/api/service-map-answer";
import type { TimeUs } from "@timespan/telemetry/timestamp";
import type { Database } from "../database.ts";
import { timeParameter } from "../query/parameters.ts";
import type { Window } from "../query/request-segments.ts";

/** Edges of one map, those with the most calls: no screen shows more. */
export const MAP_EDGES_MAX = 5_000;

export interface MapEdges {
  /** Up to when edges are derived; null before the first. */
  storedUntilUs: TimeUs | null;
  edges: ServiceMapEdge[];
  /** What was called, services too, each with all calls to it. */
  targets: ServiceMapNode[];
  truncated: boolean;
}

interface Row {
  service_name: string | null;
  target_name: string;
  target_type: ServiceMapNode["type"];
  call_count: number;
  error_count: number;
  latency_p50_ms: number;
  latency_p95_ms: number;
  health: ServiceMapEdge["health"];
  stored_until_us: number | null;
}

/**
 * Who called whom in a window that begins and ends on whole minutes, of what the caller may see. The calling service
 * and its environment decide; the target is named whoever it is.
 * @throws the driver's error where the database is away or the statement ran into its limit
 */
export async function readEdges(
  sql: Database,
  access: Access,
  { window, environment }: { window: Window; environment?: string | undefined },
): Promise<MapEdges> {
  const environments = visibleEnvironments(access, environment);
  const rows = await sql<Row[]>`
SELECT
  edge.service_name,
  edge.target_name,
  edge.target_type,
  edge.call_count,
  edge.error_count,
  edge.p50_us / 1000 AS latency_p50_ms,
  edge.p95_us / 1000 AS latency_p95_ms,
  timespan.health_of(edge.call_count, edge.error_count) AS health,
  extract(epoch FROM timespan.service_edges_stored_until())::double precision * 1000000 AS stored_until_us
FROM timespan.service_map_edges(
  ${timeParameter(sql, window.fromUs)},
  ${timeParameter(sql, window.toUs)},
  ${environments}::text[],
  ${access.services === null ? null : [...access.services]}::text[]
) AS edge
ORDER BY edge.service_name IS NULL DESC, edge.call_count DESC, edge.service_name COLLATE "C", edge.target_name COLLATE "C", edge.target_type
LIMIT ${2 * MAP_EDGES_MAX + 1}`;
  const totals = rows.filter(({ service_name }) => service_name === null);
  const edges = rows.filter(({ service_name }) => service_name !== null);
  return {
    storedUntilUs: rows[0]?.stored_until_us ?? null,
    edges: edges.slice(0, MAP_EDGES_MAX).map((row) => ({
      source: nodeId("service", row.service_name ?? ""),
      target: nodeId(row.target_type, row.target_name),
      ...figures(row),
    })),
    targets: totals.map((row) => ({
      id: nodeId(row.target_type, row.target_name),
      name: row.target_name,
      type: row.target_type,
      ...figures(row),
    })),
    truncated: rows.length > 2 * MAP_EDGES_MAX || edges.length > MAP_EDGES_MAX,
  };
}

export function nodeId(type: ServiceMapNode["type"], name: string): string {
  return `${type}:${name}`;
}

function figures({ call_count, error_count, latency_p50_ms, latency_p95_ms, health }: Row) {
  return {
    call_count,
    error_count,
    error_rate: error_count / call_count,
    latency_p50_ms,
    latency_p95_ms,
    health,
  };
}

/** Null for all; empty where what is asked for may not be seen. */
function visibleEnvironments({ environments }: Access, asked: string | undefined): string[] | null {
  if (asked === undefined) return environments === null ? null : [...environments];
  return environments === null || environments.includes(asked) ? [asked] : [];
}
