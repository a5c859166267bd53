import { createRandom } from "./random.ts";

export interface Failure {
  /** Becomes the label `exception.type`. */
  type: string;
  message: string;
}

interface Fault {
  name: string;
  /** What it hits: a server address, a database span's name, or a service. */
  target: string;
  slowdownFactor: number;
  /** How many of the calls that reach the target fail, 0..1. */
  failureShare: number;
  failure: Failure;
  /** A bad release: only the instances that already run this version are hit. */
  version?: string;
  /** Once in each period of this length. */
  periodMs: number;
}

export interface Incident extends Fault {
  startMs: number;
  endMs: number;
}

const MINUTE_MS = 60_000;
const LENGTH_MIN_MS = 3 * MINUTE_MS;
const LENGTH_MAX_MS = 7 * MINUTE_MS;

/** Periods share no divisor, so the incidents drift against each other and now and then overlap. */
const FAULTS: readonly Fault[] = [
  {
    name: "payment provider degraded",
    target: "api.paywell.example",
    slowdownFactor: 9,
    failureShare: 0.3,
    failure: { type: "ProviderError", message: "api.paywell.example answered 503 Service Unavailable" },
    periodMs: 29 * MINUTE_MS,
  },
  {
    name: "stock query lost its index",
    target: "SELECT stock_levels",
    slowdownFactor: 60,
    failureShare: 0.02,
    failure: { type: "DatabaseError", message: "canceling statement due to statement timeout" },
    periodMs: 37 * MINUTE_MS,
  },
  {
    name: "bad release of search",
    target: "search",
    slowdownFactor: 30,
    failureShare: 0.4,
    failure: { type: "TypeError", message: "Cannot read properties of undefined (reading 'facets')" },
    version: "4.3.0",
    periodMs: 47 * MINUTE_MS,
  },
];

/** The incidents under way at `atMs`, a function of seed and time alone. They hit production only. */
export function incidentsAt(seed: number, atMs: number): Incident[] {
  return FAULTS.map((fault, index) => {
    const period = Math.floor(atMs / fault.periodMs);
    const random = createRandom(seed, period, index + 1);
    const lengthMs = LENGTH_MIN_MS + random.next() * (LENGTH_MAX_MS - LENGTH_MIN_MS);
    const startMs = period * fault.periodMs + random.next() * (fault.periodMs - lengthMs);
    return { ...fault, startMs, endMs: startMs + lengthMs };
  }).filter(({ startMs, endMs }) => startMs <= atMs && atMs < endMs);
}
