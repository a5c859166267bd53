/** Under which calls are counted whose endpoint is one too many. */
export const OTHER_ENDPOINT = "other";
export const ENDPOINTS_PER_SERVICE_MAX_DEFAULT = 200;
/** Names remembered in all, whatever the number of services: about 10 MB, at the very most 60. */
export const ENDPOINTS_TOTAL_MAX = 100_000;
/** A name that nobody called for this long gives its place to another, once one is wanted. */
export const ENDPOINT_UNUSED_MS = 3_600_000;

interface ServiceEndpoints {
  /** Each name with the sweep since which it was used. */
  lastUsed: Map<string, number>;
  /** It was said since the last sweep that this service has too many. */
  told: boolean;
}

export interface EndpointLimitOptions {
  perServiceMax: number;
  nowMs(): number;
  /** Called when a service has more endpoints than it may, at most once an hour for each. */
  onServiceFull?(serviceName: string): void;
  totalMax?: number;
}

/**
 * Keeps the first names that a service is seen with, up to a limit, and puts `other` for further ones. What is called
 * often is seen first, so it is the rare endpoints that end up there.
 *
 * The memory is that of one thread, and begins empty: two threads, or one before and after a restart, may disagree
 * about the rare endpoints of a service that is over its limit. Nothing is shared or read back for it, because that
 * would put a query or a lock before every row, to make exact what is a limit.
 */
export class EndpointLimit {
  readonly #services = new Map<string, ServiceEndpoints>();
  readonly #options: EndpointLimitOptions;
  readonly #totalMax: number;
  #total = 0;
  #sweep = 0;
  #sweptAtMs: number;
  /** How many calls were counted as `other`. */
  otherCount = 0;

  constructor(options: EndpointLimitOptions) {
    this.#options = options;
    this.#totalMax = options.totalMax ?? ENDPOINTS_TOTAL_MAX;
    this.#sweptAtMs = options.nowMs();
  }

  /** `endpoint`, or `other`. */
  admit(serviceName: string, endpoint: string): string {
    const service = this.#services.get(serviceName);
    const lastUsed = service?.lastUsed.get(endpoint);
    if (lastUsed === this.#sweep) return endpoint;
    if (lastUsed !== undefined) {
      service?.lastUsed.set(endpoint, this.#sweep);
      return endpoint;
    }
    return this.#admitNew(serviceName, endpoint);
  }

  #admitNew(serviceName: string, endpoint: string): string {
    if (!this.#hasRoom(serviceName)) {
      this.#sweepUnused();
      if (!this.#hasRoom(serviceName)) {
        this.otherCount++;
        const service = this.#services.get(serviceName);
        if (service !== undefined && !service.told) {
          service.told = true;
          this.#options.onServiceFull?.(serviceName);
        }
        return OTHER_ENDPOINT;
      }
    }
    let service = this.#services.get(serviceName);
    if (service === undefined) {
      service = { lastUsed: new Map(), told: false };
      this.#services.set(serviceName, service);
    }
    service.lastUsed.set(endpoint, this.#sweep);
    this.#total++;
    return endpoint;
  }

  #hasRoom(serviceName: string): boolean {
    const used = this.#services.get(serviceName)?.lastUsed.size ?? 0;
    return used < this.#options.perServiceMax && this.#total < this.#totalMax;
  }

  /** Forgets what was not used since the last sweep, if that is long enough ago. */
  #sweepUnused(): void {
    const nowMs = this.#options.nowMs();
    if (nowMs - this.#sweptAtMs < ENDPOINT_UNUSED_MS) return;
    this.#sweptAtMs = nowMs;
    for (const [serviceName, service] of this.#services) {
      service.told = false;
      for (const [endpoint, lastUsed] of service.lastUsed) {
        if (lastUsed === this.#sweep) continue;
        service.lastUsed.delete(endpoint);
        this.#total--;
      }
      if (service.lastUsed.size === 0) this.#services.delete(serviceName);
    }
    this.#sweep++;
  }
}
