import { isoMicroseconds, type Labels, type LogEvent, type SpanEvent } from "./events.ts";
import type { Random } from "./random.ts";
import type { Failure, Incident } from "./shop-incidents.ts";
import type { Dependency, Operation, Step } from "./shop-operations.ts";

export interface Conditions {
  environment: string;
  incidents: readonly Incident[];
  /** Multiplies every latency. */
  slowdownFactor: number;
  /** How many calls of a dependency fail while nothing is wrong, 0..1. */
  failureShare: number;
}

interface Outcome {
  endUs: number;
  httpStatusCode: number;
  /** What the caller has to say about it; absent when all went well. */
  failure?: Failure;
}

/** What tells spans of different kinds apart; the rest is filled in by the recorder. */
type SpanDetails = Pick<SpanEvent, "name" | "kind" | "status"> &
  Partial<Pick<SpanEvent, "http_method" | "http_path" | "http_status_code">> & {
    service: string;
    spanId: string;
    parentSpanId: string | null;
    startUs: number;
    endUs: number;
    labels?: Labels;
  };

const SLOW_OPERATION_US = 1_500_000;
const STATEMENT_LOG_SHARE = 0.15;

/** Performs the operations of one trace and records the spans and logs they leave behind. */
export class TraceRecorder {
  readonly #spans: { endUs: number; event: SpanEvent }[] = [];
  readonly #logs: { atUs: number; event: LogEvent }[] = [];
  readonly #names = new Map<string, number>();
  readonly #traceId: string;
  readonly #random: Random;
  readonly #conditions: Conditions;

  constructor(random: Random, conditions: Conditions) {
    this.#random = random;
    this.#conditions = conditions;
    this.#traceId = random.hex(32);
  }

  /** The spans in the order they ended and the logs in the order they were written. */
  events(): { spans: SpanEvent[]; logs: LogEvent[] } {
    return {
      spans: this.#spans.sort((x, y) => x.endUs - y.endUs).map(({ event }) => event),
      logs: this.#logs.sort((x, y) => x.atUs - y.atUs).map(({ event }) => event),
    };
  }

  perform(operation: Operation, parentSpanId: string | null, startUs: number): Outcome {
    const { service, http, rejection } = operation;
    const spanId = this.#random.hex(16);
    const fault = this.#faultOf(service);
    const selfUs = this.#latencyUs(operation.selfMs * (fault?.slowdownFactor ?? 1));
    const steps = this.#runAll(operation, operation.steps, spanId, startUs + Math.round(selfUs * 0.4));
    const endUs = steps.endUs + Math.round(selfUs * 0.6);
    const outcome = { ...steps, endUs };
    if (outcome.failure === undefined && fault && this.#happens(fault.failureShare)) {
      outcome.failure = fault.failure;
      outcome.httpStatusCode = 500;
    }
    const rejected =
      outcome.httpStatusCode < 400 && rejection && this.#happens(rejection.share) ? rejection : undefined;
    if (rejected) outcome.httpStatusCode = rejected.httpStatusCode;

    const request = http && {
      http_method: http.method,
      http_path: this.#fill(http.route),
      http_status_code: outcome.httpStatusCode,
    };
    const ok = operation.kind === "INTERNAL" ? "UNSET" : "OK";
    this.#span({
      ...request,
      service,
      spanId,
      parentSpanId,
      startUs,
      endUs,
      name: operation.name,
      kind: operation.kind,
      status: outcome.failure ? "ERROR" : outcome.httpStatusCode >= 400 ? "UNSET" : ok,
      labels: http ? { "http.route": http.route } : {},
    });
    const log = (level: LogEvent["level"], message: string, failure?: Failure) =>
      this.#log(level, message, { service, spanId, atUs: endUs, request, failure });
    const ms = Math.round((endUs - startUs) / 1_000);
    if (outcome.failure) {
      log("ERROR", `${operation.name} failed: ${outcome.failure.message}`, outcome.failure);
    } else if (rejected) log("WARN", this.#fill(rejected.message));
    else if (operation.info) log("INFO", this.#fill(operation.info));
    if (parentSpanId === null && request) {
      log("INFO", `${request.http_method} ${request.http_path} ${request.http_status_code} in ${ms} ms`);
    }
    if (endUs - startUs > SLOW_OPERATION_US) log("WARN", `${operation.name} took ${ms} ms`);
    return outcome;
  }

  /** One step after the other, until one fails or is refused. */
  #runAll(operation: Operation, steps: readonly Step[], spanId: string, startUs: number): Outcome {
    let outcome: Outcome = { endUs: startUs, httpStatusCode: operation.http?.method === "POST" ? 201 : 200 };
    for (const step of steps) {
      const { endUs, httpStatusCode, failure } = this.#run(operation, step, spanId, outcome.endUs);
      if (failure || httpStatusCode >= 400) return { endUs, httpStatusCode, ...(failure && { failure }) };
      outcome = { ...outcome, endUs };
    }
    return outcome;
  }

  #run(operation: Operation, step: Step, spanId: string, startUs: number): Outcome {
    switch (step.type) {
      case "sometimes":
        return this.#happens(step.share)
          ? this.#run(operation, step.step, spanId, startUs)
          : { endUs: startUs, httpStatusCode: 200 };
      case "optional": {
        const { endUs, failure } = this.#run(operation, step.step, spanId, startUs);
        const { service } = operation;
        if (failure)
          this.#log("WARN", `answering without it: ${failure.message}`, {
            service,
            spanId,
            atUs: endUs,
            failure,
          });
        return { endUs, httpStatusCode: 200 };
      }
      case "parallel": {
        const outcomes = step.steps.map((each) => this.#run(operation, each, spanId, startUs));
        const endUs = Math.max(...outcomes.map((each) => each.endUs));
        const worst =
          outcomes.find((each) => each.failure) ?? outcomes.find((each) => each.httpStatusCode >= 400);
        return { httpStatusCode: 200, ...worst, endUs };
      }
      case "internal": {
        const endUs = startUs + this.#latencyUs(step.medianMs);
        const details = { service: operation.service, spanId: this.#random.hex(16), parentSpanId: spanId };
        this.#span({ ...details, startUs, endUs, name: step.name, kind: "INTERNAL", status: "UNSET" });
        return { endUs, httpStatusCode: 200 };
      }
      case "call":
        return this.#call(operation, step.operation, spanId, startUs);
      case "publish":
        return this.#publish(operation, step, spanId, startUs);
      case "dependency":
        return this.#depend(operation, step, spanId, startUs, step.retries);
    }
  }

  #call(caller: Operation, callee: Operation, parentSpanId: string, startUs: number): Outcome {
    const spanId = this.#random.hex(16);
    const answer = this.perform(callee, spanId, startUs + this.#latencyUs(0.3));
    const endUs = answer.endUs + this.#latencyUs(0.2);
    this.#span({
      service: caller.service,
      spanId,
      parentSpanId,
      startUs,
      endUs,
      name: callee.name,
      kind: "CLIENT",
      // OpenTelemetry: a 4xx answer is an error for the client that got it, not for the server that gave it.
      status: answer.httpStatusCode >= 400 ? "ERROR" : "UNSET",
      ...(callee.http && { http_method: callee.http.method, http_path: this.#fill(callee.http.route) }),
      http_status_code: answer.httpStatusCode,
      labels: { "peer.service": callee.service, "server.address": `${callee.service}.shop.internal` },
    });
    if (answer.failure === undefined) return { ...answer, endUs };
    const message = `${callee.service} answered ${answer.httpStatusCode} to ${callee.name}`;
    return { endUs, httpStatusCode: 502, failure: { type: "UpstreamError", message } };
  }

  /** The consumers start once the message is out, and the publisher does not wait for them. */
  #publish(
    publisher: Operation,
    step: Extract<Step, { type: "publish" }>,
    parentSpanId: string,
    startUs: number,
  ): Outcome {
    const spanId = this.#random.hex(16);
    const endUs = startUs + this.#latencyUs(2);
    this.#span({
      service: publisher.service,
      spanId,
      parentSpanId,
      startUs,
      endUs,
      name: `send ${step.topic}`,
      kind: "PRODUCER",
      status: "UNSET",
      labels: {
        "messaging.system": "kafka",
        "messaging.destination.name": step.topic,
        "peer.service": "kafka",
      },
    });
    for (const operation of step.consumers) this.perform(operation, spanId, endUs + this.#latencyUs(25));
    return { endUs, httpStatusCode: 200 };
  }

  /** A database or a host outside the shop: only the client's side of it is seen. */
  #depend(
    operation: Operation,
    dependency: Dependency,
    parentSpanId: string,
    startUs: number,
    retriesLeft: number,
  ): Outcome {
    const { service } = operation;
    const { name, peerService, dbSystem, http, timeoutMs } = dependency;
    const spanId = this.#random.hex(16);
    const fault = this.#faultOf(name) ?? this.#faultOf(peerService);
    const wantedUs = this.#latencyUs(dependency.medianMs * (fault?.slowdownFactor ?? 1));
    const timedOut = wantedUs > timeoutMs * 1_000;
    const endUs = startUs + Math.min(wantedUs, timeoutMs * 1_000);
    let failure: Failure | undefined;
    if (timedOut) {
      failure = {
        type: "TimeoutError",
        message: `${name} of ${peerService} timed out after ${timeoutMs} ms`,
      };
    } else if (this.#happens(fault?.failureShare ?? this.#conditions.failureShare)) {
      const message = dbSystem ? "connection terminated unexpectedly" : `${peerService} reset the connection`;
      failure = fault?.failure ?? { type: "ConnectionError", message };
    }
    this.#span({
      service,
      spanId,
      parentSpanId,
      startUs,
      endUs,
      name,
      kind: "CLIENT",
      status: failure ? "ERROR" : "UNSET",
      ...(http && { http_method: http.method, http_path: this.#fill(http.route) }),
      // A connection that timed out or broke brought no status.
      ...(http && (!failure || failure === fault?.failure) && { http_status_code: failure ? 503 : 200 }),
      labels: {
        "peer.service": peerService,
        "server.address": dbSystem ? `${service}-${dbSystem}.shop.internal` : peerService,
        ...(dbSystem && { "db.system": dbSystem }),
      },
    });
    const context = { service, spanId, atUs: endUs, failure };
    if (failure && retriesLeft > 0) {
      this.#log("WARN", `${failure.message}; trying again, ${retriesLeft} left`, context);
      return this.#depend(operation, dependency, parentSpanId, endUs + this.#latencyUs(50), retriesLeft - 1);
    }
    if (failure) {
      this.#log("ERROR", failure.message, context);
      return { endUs, httpStatusCode: timedOut ? 504 : 500, failure };
    }
    if (dbSystem && this.#happens(STATEMENT_LOG_SHARE)) {
      this.#log("DEBUG", `${name}: ${((endUs - startUs) / 1_000).toFixed(1)} ms`, context);
    }
    return { endUs, httpStatusCode: 200 };
  }

  #span({ service, spanId, parentSpanId, startUs, endUs, labels, ...rest }: SpanDetails): void {
    this.#spans.push({
      endUs,
      event: {
        type: "span",
        timestamp: isoMicroseconds(startUs),
        service_name: service,
        environment: this.#conditions.environment,
        trace_id: this.#traceId,
        span_id: spanId,
        parent_span_id: parentSpanId,
        ...rest,
        duration_ms: (endUs - startUs) / 1_000,
        labels: { version: this.#version(service), "host.name": this.#hostName(service), ...labels },
      },
    });
  }

  #log(
    level: LogEvent["level"],
    message: string,
    context: {
      service: string;
      spanId: string;
      atUs: number;
      failure?: Failure | undefined;
      request?: Pick<SpanEvent, "http_method" | "http_path" | "http_status_code"> | undefined;
    },
  ): void {
    const { service, failure } = context;
    this.#logs.push({
      atUs: context.atUs,
      event: {
        type: "log",
        timestamp: isoMicroseconds(context.atUs),
        service_name: service,
        environment: this.#conditions.environment,
        level,
        message,
        trace_id: this.#traceId,
        span_id: context.spanId,
        ...context.request,
        labels: {
          version: this.#version(service),
          "host.name": this.#hostName(service),
          ...(failure && { "exception.type": failure.type }),
        },
      },
    });
  }

  #happens(share: number): boolean {
    return this.#random.next() < share;
  }

  #latencyUs(medianMs: number): number {
    const us = medianMs * 1_000 * this.#conditions.slowdownFactor * this.#random.latencyFactor();
    return Math.max(1, Math.round(us));
  }

  /** The incident that hits `target` in this trace, if any. A bad release hits only hosts that run it. */
  #faultOf(target: string): Incident | undefined {
    return this.#conditions.incidents.find(
      (incident) =>
        incident.target === target && (incident.version === undefined || this.#hostNumber(target) === 0),
    );
  }

  #version(service: string): string {
    return this.#faultOf(service)?.version ?? (service === "search" ? "4.2.0" : "1.8.2");
  }

  /** A service runs on two hosts; within one trace it is always the same one. */
  #hostNumber(service: string): number {
    return this.#number(service) % 2;
  }

  #hostName(service: string): string {
    return `${service}-${this.#hostNumber(service)}`;
  }

  /** Four digits that `name` stands for throughout this trace. */
  #number(name: string): number {
    const known = this.#names.get(name);
    if (known !== undefined) return known;
    const drawn = 1_000 + Math.floor(this.#random.next() * 9_000);
    this.#names.set(name, drawn);
    return drawn;
  }

  #fill(template: string): string {
    return template.replace(/\{(\w+)\}/g, (_, name: string) => String(this.#number(name)));
  }
}
