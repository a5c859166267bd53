import { NameLimit } from "./guards-name-limit.ts";
import { AttributeMask } from "./mask-attributes.ts";
import { MaskKeys, type MaskRule } from "./mask-keys.ts";
import { maskPayload, maskRejection, withPayloadWithheld } from "./mask-payload.ts";
import type { Rejection } from "./rejection.ts";

/** What is done to every event before anything of it is written: privacy and cardinality rules of the operator. */
export interface Guards {
  /**
   * The attributes of a span, span event, link, log or resource as they may be stored; may be the same object. All
   * that is taken from attributes into columns must be taken from these.
   */
  attributes(attributes: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>>;
  /** The endpoint under which a span of `serviceName` is counted: itself, or `other` where a service has too many. */
  endpoint(serviceName: string, endpoint: string): string;
  /** The pattern under which a log of `serviceName` is counted: itself, or `other` where a service has too many. */
  logPattern(serviceName: string, pattern: string): string;
  /**
   * The value of a record as a dead letter may keep it: masked and written anew, or null where it is no JSON. Of a
   * request in protobuf, what is to be kept is first written as OTLP's JSON.
   * The same bytes where nothing is to be masked.
   */
  maskPayload(bytes: Uint8Array): Uint8Array | null;
  /** A dead letter as it may be stored: payload by {@link maskPayload}, and a detail that quotes nothing masked. */
  deadLetter(
    rejection: Rejection,
    payload: Uint8Array | null,
  ): { rejection: Rejection; payload: Uint8Array | null };
}

/** Stores everything as it came. */
export const NO_GUARDS: Guards = {
  attributes: (attributes) => attributes,
  endpoint: (_, endpoint) => endpoint,
  logPattern: (_, pattern) => pattern,
  maskPayload: (bytes) => bytes,
  deadLetter: (rejection, payload) => ({ rejection, payload }),
};

/** Plain values, so that they can be handed to a worker thread. */
export interface GuardOptions {
  /** Keys whose values are replaced by a keyed hash. */
  hashKeys: readonly string[];
  /** Keys that are left out with their values. */
  dropKeys: readonly string[];
  /** Required where `hashKeys` has any. */
  hashSecret: string | undefined;
  endpointsPerServiceMax: number;
  logPatternsPerServiceMax: number;
}

export interface GuardHooks {
  nowMs(): number;
  /** Called when a service has more endpoints, or log patterns, than it may, at most once an hour for each. */
  onServiceFull?(serviceName: string, names: "endpoints" | "log patterns"): void;
}

/** What the guards of a thread did since it started. */
export interface GuardCounts {
  /** One entry for each configured key, with how many values it masked. */
  readonly masked: readonly Readonly<MaskRule>[];
  /** Calls counted under `other`. */
  readonly otherEndpoints: number;
  /** Logs counted under `other`. */
  readonly otherLogPatterns: number;
  /** Payloads of dead letters that were not kept. */
  readonly withheldPayloads: number;
}

export interface CountingGuards extends Guards {
  readonly counts: GuardCounts;
}

/** @throws {Error} where keys are to be hashed without a secret */
export function createGuards(options: GuardOptions, hooks: GuardHooks): CountingGuards {
  const { hashKeys, dropKeys, hashSecret } = options;
  if (hashKeys.length > 0 && !hashSecret) throw new Error("a secret is required to hash attributes");
  const keys = new MaskKeys(hashKeys, dropKeys);
  const { nowMs } = hooks;
  const endpoints = new NameLimit({
    perServiceMax: options.endpointsPerServiceMax,
    nowMs,
    onServiceFull: (serviceName) => hooks.onServiceFull?.(serviceName, "endpoints"),
  });
  const logPatterns = new NameLimit({
    perServiceMax: options.logPatternsPerServiceMax,
    nowMs,
    onServiceFull: (serviceName) => hooks.onServiceFull?.(serviceName, "log patterns"),
  });
  let withheldPayloads = 0;
  const named = {
    endpoint: (serviceName: string, name: string) => endpoints.admit(serviceName, name),
    logPattern: (serviceName: string, name: string) => logPatterns.admit(serviceName, name),
  };
  const counts: GuardCounts = {
    masked: keys.rules,
    get otherEndpoints() {
      return endpoints.otherCount;
    },
    get otherLogPatterns() {
      return logPatterns.otherCount;
    },
    get withheldPayloads() {
      return withheldPayloads;
    },
  };
  if (keys.rules.length === 0) return { ...NO_GUARDS, ...named, counts };

  const mask = new AttributeMask(keys, hashSecret ?? "");
  const guards: CountingGuards = {
    attributes: (attributes) => mask.mask(attributes),
    ...named,
    maskPayload(bytes) {
      const masked = maskPayload(bytes, mask);
      if (masked === null) withheldPayloads++;
      return masked;
    },
    deadLetter(rejection, payload) {
      const told = maskRejection(rejection);
      const kept = payload === null ? null : guards.maskPayload(payload);
      return {
        rejection: payload !== null && kept === null ? withPayloadWithheld(told) : told,
        payload: kept,
      };
    },
    counts,
  };
  return guards;
}
