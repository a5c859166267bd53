/** Under which rows are counted whose endpoint, or log pattern, is one too many. */
export const OTHER_NAME = "other";
export const ENDPOINTS_PER_SERVICE_MAX_DEFAULT = 200;
export const LOG_PATTERNS_PER_SERVICE_MAX_DEFAULT = 1_000;
/** Names remembered in all, whatever the number of services: about 10 MB, at the very most 60. */
export const NAMES_TOTAL_MAX = 100_000;
/** A name that nobody called for this long gives its place to another, once one is wanted. */
export const NAME_UNUSED_MS = 3_600_000;

interface ServiceNames {
  /** Each name with the sweep since which it was used. */
  lastUsed: Map<string, number>;
  /** It was said since the last sweep that this service has too many. */
  told: boolean;
}

export interface NameLimitOptions {
  perServiceMax: number;
  nowMs(): number;
  /** Called when a service has more names than it may, at most once an hour for each. */
  onServiceFull?(serviceName: string): void;
  totalMax?: number;
}

/**
 * Keeps the first names, of endpoints or of log patterns, that a service is seen with, up to a limit, and puts `other`
 * for further ones. What happens often is seen first, so it is the rare names that end up there.
 *
 * The memory is that of one thread, and begins empty: two threads, or one before and after a restart, may disagree
 * about the rare names of a service that is over its limit. Nothing is shared or read back for it, because that
 * would put a query or a lock before every row, to make exact what is a limit.
 */
export class NameLimit {
  readonly #services = new Map<string, ServiceNames>();
  readonly #options: NameLimitOptions;
  readonly #totalMax: number;
  #total = 0;
  #sweep = 0;
  #sweptAtMs: number;
  /** How often `other` was put. */
  otherCount = 0;

  constructor(options: NameLimitOptions) {
    this.#options = options;
    this.#totalMax = options.totalMax ?? NAMES_TOTAL_MAX;
    this.#sweptAtMs = options.nowMs();
  }

  /** `name`, or `other`. */
  admit(serviceName: string, name: string): string {
    const service = this.#services.get(serviceName);
    const lastUsed = service?.lastUsed.get(name);
    if (lastUsed === this.#sweep) return name;
    if (lastUsed !== undefined) {
      service?.lastUsed.set(name, this.#sweep);
      return name;
    }
    return this.#admitNew(serviceName, name);
  }

  #admitNew(serviceName: string, name: string): string {
    if (!this.#hasRoom(serviceName)) {
      this.#sweepUnused();
      if (!this.#hasRoom(serviceName)) {
        this.otherCount++;
        const service = this.#services.get(serviceName);
        if (service !== undefined && !service.told) {
          service.told = true;
          this.#options.onServiceFull?.(serviceName);
        }
        return OTHER_NAME;
      }
    }
    let service = this.#services.get(serviceName);
    if (service === undefined) {
      service = { lastUsed: new Map(), told: false };
      this.#services.set(serviceName, service);
    }
    service.lastUsed.set(name, this.#sweep);
    this.#total++;
    return name;
  }

  #hasRoom(serviceName: string): boolean {
    const used = this.#services.get(serviceName)?.lastUsed.size ?? 0;
    return used < this.#options.perServiceMax && this.#total < this.#totalMax;
  }

  /** Forgets what was not used since the last sweep, if that is long enough ago. */
  #sweepUnused(): void {
    const nowMs = this.#options.nowMs();
    if (nowMs - this.#sweptAtMs < NAME_UNUSED_MS) return;
    this.#sweptAtMs = nowMs;
    for (const [serviceName, service] of this.#services) {
      service.told = false;
      for (const [name, lastUsed] of service.lastUsed) {
        if (lastUsed === this.#sweep) continue;
        service.lastUsed.delete(name);
        this.#total--;
      }
      if (service.lastUsed.size === 0) this.#services.delete(serviceName);
    }
    this.#sweep++;
  }
}
