/** What is done to every event before anything of it is written: privacy and cardinality rules of the operator. */
export interface Guards {
  /** The attributes of a span, span event, link, log or resource as they may be stored; may be the same object. */
  attributes(attributes: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>>;
  /** The endpoint under which a span of `serviceName` is counted: itself, or `other` where a service has too many. */
  endpoint(serviceName: string, endpoint: string): string;
}

/** Stores everything as it came. */
export const NO_GUARDS: Guards = {
  attributes: (attributes) => attributes,
  endpoint: (_, endpoint) => endpoint,
};
