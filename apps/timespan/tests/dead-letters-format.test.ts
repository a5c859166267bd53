import { expect, test } from "bun:test";
import type { DeadLetterItem } from "@timespan/store/dead-letters/list-dead-letters";
import {
  createTable,
  detailLines,
  payloadLines,
  printable,
  SHOWN_HEX_BYTES,
  SHOWN_TEXT_BYTES,
} from "../src/commands/dead-letters-format.ts";

const item: DeadLetterItem = {
  id: 7,
  received_at: "2026-11-21T16:00:00.000Z",
  topic: "apm.spans",
  partition: 3,
  source_offset: 1_234,
  source_index: 0,
  reason: "invalid_event",
  detail: "name: must not be empty",
  payload_bytes: 2,
  state: "waiting",
};

test("a table has its header once, and its columns stay where the first page put them", () => {
  const table = createTable();
  expect(table([item, { ...item, id: 6, source_index: 2, state: "replayed" }])).toEqual([
    "ID  RECEIVED                  TOPIC/PARTITION/OFFSET  REASON         DETAIL                   STATE",
    "7   2026-11-21T16:00:00.000Z  apm.spans/3/1234        invalid_event  name: must not be empty  waiting",
    "6   2026-11-21T16:00:00.000Z  apm.spans/3/1234#2      invalid_event  name: must not be empty  replayed",
  ]);
  expect(table([{ ...item, id: 5, detail: "x".repeat(100) }])).toEqual([
    `5   2026-11-21T16:00:00.000Z  apm.spans/3/1234        invalid_event  ${"x".repeat(59)}…  waiting`,
  ]);
});

test("what a client wrote does not steer the terminal", () => {
  expect(printable("a\x1b[2Jb\r\nc\u202ed\te")).toBe("a\\u001b[2Jb\\u000d\\u000ac\\u202ed\te");
  const table = createTable();
  expect(table([{ ...item, detail: "\x1b]0;title\x07" }])[1]).toContain("\\u001b]0;title\\u0007");
});

test("a payload is shown as text where it is one, otherwise as hex", () => {
  expect(payloadLines(Buffer.from('{"a":\n  "ü😀"}'))).toEqual(['{"a":', '  "ü😀"}']);
  expect(payloadLines(Uint8Array.of(0x0a, 0x05, 0x41, 0xff))).toEqual([
    "00000000  0a 05 41 ff                                      ..A.",
  ]);
  // Valid UTF-8, and yet protobuf.
  expect(payloadLines(Uint8Array.of(0x0a, 0x05, 0x12, 0x41))[0]).toStartWith("00000000  0a 05 12 41");
});

test("no more of a payload is shown than a person looks at", () => {
  const text = payloadLines(Buffer.from("é".repeat(SHOWN_TEXT_BYTES)));
  expect(text.at(-1)).toBe("… 65,536 more bytes; --raw gives all of them");
  expect(text[0]?.length).toBe(SHOWN_TEXT_BYTES / 2);
  // The last character that is shown is cut in two.
  expect(payloadLines(Buffer.from(`x${"é".repeat(SHOWN_TEXT_BYTES)}`))[0]?.endsWith("é")).toBe(true);
  const hex = payloadLines(new Uint8Array(100_000));
  expect(hex.length).toBe(SHOWN_HEX_BYTES / 16 + 1);
  expect(hex.at(-1)).toBe("… 95,904 more bytes; --raw gives all of them");
});

test("everything that is known is shown", () => {
  const row = {
    ...item,
    replayed_at: null,
    discarded_at: "2026-11-21T17:00:00.000Z",
    payload: Buffer.from("{}"),
  };
  expect(detailLines(row)).toEqual([
    "id        7",
    "received  2026-11-21T16:00:00.000Z",
    "source    apm.spans/3/1234",
    "reason    invalid_event",
    "detail    name: must not be empty",
    "state     waiting",
    "discarded 2026-11-21T17:00:00.000Z",
    "payload   2 bytes",
    "",
    "{}",
  ]);
  expect(detailLines({ ...row, payload: null }).at(-1)).toBe("payload   none is kept");
});
