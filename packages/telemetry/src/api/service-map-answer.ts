import { z } from "zod";
import { timestamp } from "./labels.ts";
import { environmentOrAll } from "./request-figures.ts";

export const NODE_TYPES = ["service", "database", "queue", "external"] as const;
export const HEALTHS = ["HEALTHY", "WATCH", "WARNING", "CRITICAL"] as const;

const figures = {
  call_count: z
    .number()
    .describe(
      "Requests of a service, or calls to what is none; where clients sampled, how many they stand for.",
    ),
  error_count: z.number().describe("How many of them had status ERROR."),
  error_rate: z.number().describe("error_count / call_count, 0..1; 0 without calls."),
  latency_p50_ms: z
    .number()
    .nullable()
    .describe("Median of their duration, within 1.1 %; null without calls."),
  latency_p95_ms: z.number().nullable().describe("95th percentile of their duration, within 1.1 %."),
  health: z
    .enum(HEALTHS)
    .nullable()
    .describe(
      "CRITICAL above 10 % of errors, WARNING above 5 %, WATCH above 1 %; null for 10 calls or less.",
    ),
};

const edgeEnds = {
  source: z.string().describe("id of the node that called."),
  target: z.string().describe("id of the node that was called."),
};

export const serviceMapNode = z.strictObject({
  id: z.string().describe("type:name."),
  name: z.string(),
  type: z.enum(NODE_TYPES),
  ...figures,
});

export const serviceMapEdge = z.strictObject({ ...edgeEnds, ...figures });

/** Answer of `/query/service-map`: services of the window, whom they called, and how that went. */
export const serviceMap = z.strictObject({
  from: timestamp.describe("Start of the window, on a whole minute."),
  to: timestamp.describe("Its end, on a whole minute."),
  environment: environmentOrAll,
  complete_through: timestamp
    .nullable()
    .describe("Up to when edges are derived, at most `to`; null before the first."),
  truncated: z.boolean().describe("There are more services or edges; those with the most calls are shown."),
  nodes: z.array(serviceMapNode),
  edges: z.array(serviceMapEdge),
});

/** Answer of `/query/service-map/diff`: edges of one window that the other lacks. */
export const serviceMapDiff = z.strictObject({
  environment: environmentOrAll,
  before: z.strictObject({ from: timestamp, to: timestamp }),
  after: z.strictObject({ from: timestamp, to: timestamp }),
  truncated: z
    .boolean()
    .describe("A window has more edges than are compared; those with the most calls are."),
  appeared: z.array(serviceMapEdge).describe("Edges of the window after that the one before has not."),
  vanished: z.array(serviceMapEdge).describe("Edges of the window before that the one after has not."),
});

export type ServiceMap = z.infer<typeof serviceMap>;
export type ServiceMapNode = z.infer<typeof serviceMapNode>;
export type ServiceMapEdge = z.infer<typeof serviceMapEdge>;
export type ServiceMapDiff = z.infer<typeof serviceMapDiff>;
