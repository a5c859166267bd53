import { describe, expect, test } from "bun:test";
import { decodeErrorEvent, type ErrorEvent, errorEvent } from "../src/wire/error-event.ts";

const EVENT: ErrorEvent = {
  type: "log",
  event_id: "1-2-0",
  timestamp: "2026-11-21T14:59:00.000000Z",
  service_name: "cart",
  environment: "production",
  level: "ERROR",
  message: 'a "quoted" line\nand U+2028 \u2028 and 😀',
};
const FULL = {
  ...EVENT,
  trace_id: "0af7",
  span_id: "b7ad",
  labels: { region: "eu", nested: { deep: [1, null] } },
};
const decode = (text: string) => decodeErrorEvent(Buffer.from(text));
const { type: _, ...FULL_DATA } = FULL;

describe("a forwarded error", () => {
  test.each([
    ["without the optional fields", EVENT],
    ["with all fields", FULL],
    ["with a field that nobody knows", { ...FULL, secret: "left out" }],
    ["with a field called __proto__", JSON.parse('{"__proto__":{"a":1}}')],
    ["without labels that count", { ...FULL, labels: {} }],
    ...Object.keys(EVENT).map((name) => [`without ${name}`, { ...FULL, [name]: undefined }] as const),
    ...Object.keys(FULL).map((name) => [`whose ${name} is a number`, { ...FULL, [name]: 7 }] as const),
    ...Object.keys(FULL).map((name) => [`whose ${name} is null`, { ...FULL, [name]: null }] as const),
    ["with an empty id", { ...FULL, event_id: "" }],
    ["of another level", { ...FULL, level: "WARN" }],
    ["of another type", { ...FULL, type: "span" }],
    ["whose labels are a list", { ...FULL, labels: ["eu"] }],
  ])("%s is read as its schema says, and its JSON is that of what was read", (_name, value) => {
    const result = errorEvent.safeParse(JSON.parse(JSON.stringify(value)));
    const decoded = decode(JSON.stringify(value));
    expect(decoded?.event).toEqual(result.data);
    if (decoded === undefined) return;
    const { type: _, ...data } = decoded.event;
    expect(JSON.parse(decoded.data)).toEqual(data);
  });

  test.each([
    ["the type last", JSON.stringify({ ...FULL_DATA, type: "log" })],
    ["written over several lines", JSON.stringify(FULL, null, 2)],
    ["with line breaks after the type", `{"type":"log",\r\n${JSON.stringify(FULL_DATA).slice(1)}`],
    ["as the stream-processor writes it", JSON.stringify(FULL)],
  ])("%s: its JSON is one line", (_, text) => {
    const decoded = decode(text);
    expect(decoded).toEqual({ event: FULL, data: JSON.stringify(FULL_DATA) });
  });

  test.each(["", "null", "[]", "7", "{", '{"type":"log",}', "{}"])("%p is none", (text) => {
    expect(decode(text)).toBeUndefined();
    expect(decodeErrorEvent(null)).toBeUndefined();
  });
});
