import { expect, test } from "bun:test";
import { takeOverTrace } from "../src/trace-context.ts";

const TRACE = "0af7651916cd43dd8448eb211c80319c";
const SPAN = "b7ad6b7169203331";

test.each([`00-${TRACE}-${SPAN}-01`, ` 00-${TRACE}-${SPAN}-00 `, `cc-${TRACE}-${SPAN}-01-what-comes-later`])(
  "the trace of %j is taken over",
  (header) => expect(takeOverTrace(header)).toEqual({ traceId: TRACE, parentSpanId: SPAN }),
);

test.each([
  undefined,
  "",
  "00",
  TRACE,
  `00-${TRACE}-${SPAN}`,
  `00-${TRACE}-${SPAN}-01-more`,
  `ff-${TRACE}-${SPAN}-01`,
  `00-${"0".repeat(32)}-${SPAN}-01`,
  `00-${TRACE}-${"0".repeat(16)}-01`,
  `00-${TRACE.toUpperCase()}-${SPAN}-01`,
  `00-${TRACE}-${SPAN}-01\nx: y`,
])("%j begins a new trace", (header) => {
  const { traceId, parentSpanId } = takeOverTrace(header);
  expect(traceId).toMatch(/^[\da-f]{32}$/);
  expect(traceId).not.toBe(TRACE);
  expect(parentSpanId).toBeUndefined();
});
