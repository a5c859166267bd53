import { randomBytes } from "node:crypto";

/** The trace that a request belongs to. Ids are lower-case hex. */
export interface TraceContext {
  traceId: string;
  /** The span of the caller; undefined where the trace begins here. */
  parentSpanId?: string;
}

/** Version 00; later versions may add fields behind it. */
const TRACEPARENT = /^([\da-f]{2})-([\da-f]{32})-([\da-f]{16})-[\da-f]{2}(-.*)?$/;

/**
 * The trace of a `traceparent` header (W3C Trace Context, level 1), or a new one where there is none or it is not
 * valid.
 */
export function takeOverTrace(traceparent: string | undefined): TraceContext {
  const [, version, traceId = "", parentSpanId = "", more] =
    TRACEPARENT.exec(traceparent?.trim() ?? "") ?? [];
  const isValid =
    version !== undefined &&
    version !== "ff" &&
    (version !== "00" || more === undefined) &&
    !/^0+$/.test(traceId) &&
    !/^0+$/.test(parentSpanId);
  return isValid ? { traceId, parentSpanId } : { traceId: randomBytes(16).toString("hex") };
}
