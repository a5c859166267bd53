import { z } from "zod";
import { timestamp } from "./labels.ts";

/** What requests amount to, of a service or an endpoint in a window. Requests are SERVER spans. */
export const requestFigures = {
  request_count: z.number().describe("Requests; where clients sampled, how many the spans stand for."),
  error_rate: z.number().describe("Share of the requests with status ERROR, 0..1; 0 without requests."),
  latency_p50_ms: z
    .number()
    .nullable()
    .describe("Median of their duration, within 1.1 %; null without requests."),
  latency_p95_ms: z.number().nullable().describe("95th percentile of their duration, within 1.1 %."),
  latency_p99_ms: z.number().nullable().describe("99th percentile of their duration, within 1.1 %."),
  throughput_per_second: z.number().describe("Requests a second of the window."),
};

/** Where an answer about requests comes from. */
export const provenance = {
  source: z
    .enum(["raw", "rollup", "mixed"])
    .describe("Read from raw spans, from rollups, or from both. The numbers are the same."),
  complete_through: timestamp
    .nullable()
    .describe("Everything that reached Kafka before is counted; at most `to`; null while nobody reports it."),
};

/** Orders that services and endpoints come in, the largest first; ties by the other figures, then by name. */
export const REQUEST_SORTS = ["request_count", "latency_p95_ms", "error_rate"] as const;
export type RequestSort = (typeof REQUEST_SORTS)[number];

/** In place of the environment where none was asked for. */
export const ALL_ENVIRONMENTS = "all";
export const environmentOrAll = z.string().describe("The environment that was asked for, or all.");
