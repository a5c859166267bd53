import { z } from "zod";
import { parseSpanId, parseTraceId } from "../ids.ts";

/** A text that `parse` understands; anything else is a problem, said with `message`. */
export const parsed = <T>(parse: (text: string) => T | undefined, message: string) =>
  z.string().transform((value, context): T => {
    const result = parse(value);
    if (result !== undefined) return result;
    context.addIssue({ code: "custom", message });
    return z.NEVER;
  });

export const traceId = parsed(parseTraceId, "must be 32 (or 16) hex digits, not all zero").meta({
  examples: ["0af7651916cd43dd8448eb211c80319c"],
});
export const spanId = parsed(parseSpanId, "must be 16 hex digits, not all zero").meta({
  examples: ["b7ad6b7169203331"],
});

/** One of `names`, in any case. */
export const word = <N extends string>(names: readonly N[]) =>
  parsed(
    (value) => names.find((candidate) => candidate === value.toUpperCase()),
    `must be one of ${names.join(", ")}`,
  ).meta({ enum: names });
