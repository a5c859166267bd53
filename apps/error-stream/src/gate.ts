import type { Clock } from "@timespan/runtime/clock";
import { Counter, type Registry } from "@timespan/runtime/metrics";
import type { VerifyKey } from "@timespan/store/api-keys/key-verifier";
import { type Access, FULL_ACCESS } from "@timespan/telemetry/access";
import { API_KEY_PREFIX, bearerToken, hasScope } from "@timespan/telemetry/api-key";

/** What every engine can say of a request. */
export interface ClientRequest {
  method: string;
  path: string;
  query: URLSearchParams;
  /** By its name in lower case. */
  header(name: string): string | undefined;
  /** The peer's address. */
  address: string;
}

export interface GateLimits {
  /** Clients at once, those who are being let in included. */
  clientsMax: number;
  clientsPerAddressMax: number;
}

export interface GateParts {
  limits: GateLimits;
  /** Origins of pages that may connect; `*` for any, none for pages of this host. */
  origins: readonly string[];
  /** Undefined where nobody needs a key. */
  verifyKey: VerifyKey | undefined;
  clock: Clock;
  registry: Registry;
  /** Called when a key with which clients are connected is not good any more. */
  onKeyLost(key: string): void;
}

/** An answer that refuses a request, the same on every engine. */
export interface Refusal {
  status: number;
  detail: string;
  headers?: Readonly<Record<string, string>>;
}

/** A place among the clients. */
export interface Admission {
  access: Access;
  key: string | undefined;
  /** Gives the place back; further calls do nothing. */
  leave(): void;
}

/**
 * The subprotocol that is agreed on. A browser's WebSocket can send no header, but it can name subprotocols: one that
 * names this and its key, such as `new WebSocket(url, ["timespan", key])`, is let in by the key and answered with this.
 */
export const SUBPROTOCOL = "timespan";

/** How often the keys of connected clients are looked at again: so long a revoked key may still listen. */
const KEY_LOOK_MS = 10_000;
const RETRY_AFTER = { "retry-after": "5" } as const;

/** Decides who may listen, and keeps count of those who do. */
export class Gate {
  readonly #parts: GateParts;
  readonly #byAddress = new Map<string, number>();
  readonly #keys = new Map<string, number>();
  readonly #refused: Counter<"reason">;
  readonly #stopTimer: () => void;
  #count = 0;

  constructor(parts: GateParts) {
    this.#parts = parts;
    this.#refused = new Counter({
      name: "timespan_error_stream_refused_clients_total",
      help: "Clients turned away, by reason.",
      labelNames: ["reason"] as const,
      registers: [parts.registry],
    });
    this.#stopTimer = parts.clock.every(KEY_LOOK_MS, () => void this.#lookAtKeys());
  }

  close(): void {
    this.#stopTimer();
  }

  /** A place for the client that asks by `request`, or why it gets none. */
  async admit(request: ClientRequest): Promise<Admission | Refusal> {
    if (!originAllowed(request, this.#parts.origins)) {
      return this.#refuse("origin", { status: 403, detail: "this origin may not connect" });
    }
    const { clientsMax, clientsPerAddressMax } = this.#parts.limits;
    if (this.#count >= clientsMax) {
      return this.#refuse("clients", { status: 503, detail: "too many clients", headers: RETRY_AFTER });
    }
    const fromAddress = this.#byAddress.get(request.address) ?? 0;
    if (fromAddress >= clientsPerAddressMax) {
      return this.#refuse("address", {
        status: 429,
        detail: "too many clients from this address",
        headers: RETRY_AFTER,
      });
    }
    // Taken before the key is looked up, which takes a while: who waits counts.
    this.#count++;
    this.#byAddress.set(request.address, fromAddress + 1);
    let key: string | undefined;
    let left = false;
    const leave = () => {
      if (left) return;
      left = true;
      this.#count--;
      const others = (this.#byAddress.get(request.address) ?? 1) - 1;
      if (others === 0) this.#byAddress.delete(request.address);
      else this.#byAddress.set(request.address, others);
      if (key !== undefined) this.#countKey(key, -1);
    };
    const checked = await this.checkKey(request);
    if ("status" in checked) {
      leave();
      return checked;
    }
    key = checked.key;
    if (key !== undefined) this.#countKey(key, 1);
    return { access: checked.access, key, leave };
  }

  /** What the key of `request` allows, or why nothing. */
  async checkKey(request: ClientRequest): Promise<{ access: Access; key: string | undefined } | Refusal> {
    const { verifyKey } = this.#parts;
    if (verifyKey === undefined) return { access: FULL_ACCESS, key: undefined };
    const key = bearerToken(request.header("authorization")) ?? keyInSubprotocols(request);
    if (key === undefined) {
      return this.#refuse("no_key", {
        status: 401,
        detail: "an API key is needed: as Authorization: Bearer <key>, or as a subprotocol of the WebSocket",
        headers: { "www-authenticate": "Bearer" },
      });
    }
    try {
      const verdict = await verifyKey(key);
      if (verdict.ok && hasScope(verdict.key.scopes, "read")) return { access: verdict.key.access, key };
      if (verdict.ok) return this.#refuse("scope", { status: 403, detail: "this API key may not read" });
      if (verdict.reason === "busy") {
        return this.#refuse("busy", {
          status: 503,
          detail: "too many keys are being looked up",
          headers: RETRY_AFTER,
        });
      }
      return this.#refuse("bad_key", {
        status: 401,
        detail: "this API key is not valid",
        headers: { "www-authenticate": 'Bearer error="invalid_token"' },
      });
    } catch {
      // Whoever cannot be told apart is not let in.
      return this.#refuse("key_unknown", {
        status: 503,
        detail: "API keys cannot be looked up now",
        headers: RETRY_AFTER,
      });
    }
  }

  #refuse(reason: string, refusal: Refusal): Refusal {
    this.#refused.inc({ reason });
    return refusal;
  }

  #countKey(key: string, change: 1 | -1): void {
    const count = (this.#keys.get(key) ?? 0) + change;
    if (count === 0) this.#keys.delete(key);
    else this.#keys.set(key, count);
  }

  async #lookAtKeys(): Promise<void> {
    const { verifyKey, onKeyLost } = this.#parts;
    if (verifyKey === undefined) return;
    for (const key of [...this.#keys.keys()]) {
      // A store that is away says nothing of the key: who listens goes on.
      const verdict = await verifyKey(key).catch(() => undefined);
      if (verdict !== undefined && !verdict.ok && verdict.reason !== "busy") onKeyLost(key);
    }
  }
}

/** The subprotocols that a client offers. */
export function offeredSubprotocols(request: ClientRequest): string[] {
  return (request.header("sec-websocket-protocol") ?? "").split(",").map((name) => name.trim());
}

function keyInSubprotocols(request: ClientRequest): string | undefined {
  return offeredSubprotocols(request).find((name) => name.startsWith(API_KEY_PREFIX));
}

/**
 * Browsers let any page open a WebSocket anywhere and say only where the page came from; so that is what is checked.
 * A program that is not a browser sends no origin.
 */
export function originAllowed(request: ClientRequest, origins: readonly string[]): boolean {
  const origin = request.header("origin");
  if (origin === undefined || origins.includes("*") || origins.includes(origin)) return true;
  const host = `http://${request.header("host") ?? ""}`;
  if (origins.length > 0 || !URL.canParse(origin) || !URL.canParse(host)) return false;
  return new URL(origin).hostname === new URL(host).hostname;
}
