import type { Clock } from "@timespan/runtime/clock";
import { Counter, type Registry } from "@timespan/runtime/metrics";
import { type AdminAnswer, answerRequest, type RequestParts, refusalAnswer } from "./answer-request.ts";
import { errorFrame, Frame, type Problem } from "./frame.ts";
import { type Admission, type ClientRequest, Gate, type GateParts, type Refusal } from "./gate.ts";
import type { Hub } from "./hub.ts";
import { CLOSE, type Connection, type Subscriber } from "./subscriber.ts";
import { type ReadSubscription, readMessageSubscription, readUrlSubscription } from "./subscription.ts";

export interface ChannelParts extends Omit<GateParts, "onKeyLost">, Omit<RequestParts, "gate"> {
  hub: Hub;
  clock: Clock;
  registry: Registry;
  wsPath: string;
}

/** A client that may connect; `subscribe` is called when its connection is open. */
export interface Ticket {
  open(connection: Connection): OpenClient;
  /** Gives the place back, where the connection never opens. */
  cancel(): void;
}

/** What an engine reports of an open connection. */
export interface OpenClient {
  message(text: string): void;
  drained(): void;
  closed(): void;
}

const NO_UPGRADE: Refusal = {
  status: 426,
  detail: "connect by WebSocket",
  headers: { upgrade: "websocket" },
};

/** Where errors are served as Server-Sent Events. */
export const SSE_PATH = "/sse/error-logs";
/** A client has little to say; a longer frame closes the connection. */
export const CLIENT_FRAME_BYTES_MAX = 16 * 1024;
/** A client whose socket answers no ping for this long is gone. */
export const IDLE_SECONDS_MAX = 120;
/** Who has connected must have sent its request within this time. */
export const REQUEST_SECONDS_MAX = 10;
/** Messages that a client may send at once, and how many more each second. */
const MESSAGES_BURST_MAX = 20;
const MESSAGES_PER_SECOND = 2;

/**
 * Everything about the live channel that is the same on every engine: who is let in, what clients say and are told.
 * An engine brings sockets: upgrade, open, message, drain, close, and a send that says what became of it.
 */
export class Channel {
  readonly wsPath: string;
  readonly #parts: ChannelParts;
  readonly #gate: Gate;
  readonly #badMessages: Counter;
  readonly #byKey = new Map<string, Set<Subscriber>>();
  #stopping = false;

  constructor(parts: ChannelParts) {
    this.#parts = parts;
    this.wsPath = parts.wsPath;
    this.#gate = new Gate({ ...parts, onKeyLost: (key) => this.#closeByKey(key) });
    this.#badMessages = new Counter({
      name: "timespan_error_stream_bad_messages_total",
      help: "Messages and filters of clients that made no sense.",
      registers: [parts.registry],
    });
  }

  /** Lets a WebSocket client in, or says why not. A bad filter lets it in too: only a frame can say what is wrong. */
  async admitWebSocket(request: ClientRequest): Promise<Ticket | Refusal> {
    if (request.header("upgrade")?.toLowerCase() !== "websocket") {
      return NO_UPGRADE;
    }
    const admission = await this.#admit(request);
    if ("status" in admission) return admission;
    return this.#ticket(admission, readUrlSubscription(request.query, this.#parts.clock.nowMs()));
  }

  /** Lets a client of Server-Sent Events in, or says why not. */
  async admitEventStream(request: ClientRequest): Promise<Ticket | Refusal> {
    const read = readUrlSubscription(
      request.query,
      this.#parts.clock.nowMs(),
      request.header("last-event-id"),
    );
    if (!read.ok) {
      this.#badMessages.inc();
      const detail = read.problems.map(({ name, reason }) => `${name} ${reason}`).join("; ");
      return { status: 400, detail };
    }
    const admission = await this.#admit(request);
    return "status" in admission ? admission : this.#ticket(admission, read);
  }

  /** Answers everything that is no stream of errors. */
  answer(request: ClientRequest): Promise<AdminAnswer> | AdminAnswer {
    if (request.path === this.wsPath) return refusalAnswer(NO_UPGRADE);
    return answerRequest(request, { ...this.#parts, gate: this.#gate });
  }

  /** Tells every client that the server stops; no new one is let in. */
  stop(): void {
    this.#stopping = true;
    this.#gate.close();
    this.#parts.hub.closeAll();
  }

  async #admit(request: ClientRequest): Promise<Admission | Refusal> {
    if (request.method !== "GET")
      return { status: 405, detail: "method not allowed", headers: { allow: "GET" } };
    if (this.#stopping || !this.#parts.live()) {
      const detail = this.#stopping ? "stopping" : "not following the topic of errors yet";
      return { status: 503, detail, headers: { "retry-after": "2" } };
    }
    return this.#gate.admit(request);
  }

  #ticket(admission: Admission, read: ReadSubscription): Ticket {
    return { open: (connection) => this.#open(connection, admission, read), cancel: () => admission.leave() };
  }

  #open(connection: Connection, admission: Admission, read: ReadSubscription): OpenClient {
    const { hub, clock } = this.#parts;
    const subscriber = hub.enter(connection, admission.access);
    this.#noteKey(admission.key, subscriber);
    let tokens = MESSAGES_BURST_MAX;
    let countedMs = clock.nowMs();

    // A server that began to stop while the key was looked up has closed everybody else already.
    if (this.#stopping) subscriber.close(CLOSE.goingAway, "server is stopping");
    else if (read.ok) hub.subscribe(subscriber, read.subscription);
    else {
      this.#refuse(subscriber, read.problems);
      subscriber.close(CLOSE.policyViolation, "bad filter");
    }
    return {
      message: (text) => {
        if (subscriber.closed) return;
        const nowMs = clock.nowMs();
        tokens = Math.min(MESSAGES_BURST_MAX, tokens + ((nowMs - countedMs) / 1_000) * MESSAGES_PER_SECOND);
        countedMs = nowMs;
        if (--tokens < 0) {
          subscriber.close(CLOSE.policyViolation, "too many messages");
          return;
        }
        const asked = readMessageSubscription(text, nowMs);
        if (!asked.ok) return this.#refuse(subscriber, asked.problems);
        const { services, environments, message, labels } = asked.subscription.filter;
        const subscribed = {
          service_name: services,
          environment: environments,
          message,
          label: Object.fromEntries(labels.map(({ key, value }) => [key, value])),
        };
        subscriber.offer([new Frame("subscribed", JSON.stringify(subscribed))]);
        hub.subscribe(subscriber, asked.subscription);
      },
      drained: () => subscriber.drained(),
      closed: () => {
        hub.leave(subscriber);
        if (admission.key !== undefined) this.#byKey.get(admission.key)?.delete(subscriber);
        admission.leave();
      },
    };
  }

  #refuse(subscriber: Subscriber, problems: readonly Problem[]): void {
    this.#badMessages.inc();
    subscriber.offer([
      errorFrame("The subscription is not understood; what was asked for before stays.", problems),
    ]);
  }

  #noteKey(key: string | undefined, subscriber: Subscriber): void {
    if (key === undefined) return;
    const others = this.#byKey.get(key);
    if (others === undefined) this.#byKey.set(key, new Set([subscriber]));
    else others.add(subscriber);
  }

  #closeByKey(key: string): void {
    for (const subscriber of this.#byKey.get(key) ?? []) {
      subscriber.close(CLOSE.policyViolation, "the API key is not valid any more");
    }
    this.#byKey.delete(key);
  }
}
