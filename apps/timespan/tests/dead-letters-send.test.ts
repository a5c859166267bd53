import { expect, test } from "bun:test";
import type { OutgoingRecord, RecordProducer } from "@timespan/broker/producer";
import type { ReplayableLetter } from "@timespan/store/dead-letters/replay-dead-letters";
import { createLetterSender } from "../src/commands/dead-letters-send.ts";

const letter = (id: number, fields: Partial<ReplayableLetter> = {}): ReplayableLetter => ({
  id,
  received_at: "2026-11-21T16:00:00.000Z",
  topic: "spans",
  partition: 0,
  source_offset: id,
  source_index: 0,
  reason: "invalid_event",
  payload: Buffer.from(`payload ${id}`),
  ...fields,
});

/** Takes records, except where `refuse` throws; keeps what it took, a list for each call. */
function scripted(refuse: (topic: string, records: readonly OutgoingRecord[]) => void = () => {}) {
  const calls: { topic: string; records: readonly OutgoingRecord[] }[] = [];
  const producer: RecordProducer = {
    async send(topic, records) {
      refuse(topic, records);
      calls.push({ topic, records });
    },
    disconnect: async () => {},
  };
  const ids = () =>
    calls.map(({ records }) => records.map(({ headers }) => Number(headers?.["timespan-dead-letter-id"])));
  return { sender: createLetterSender(producer), calls, ids };
}

const tooLarge = () => Object.assign(new Error("too large"), { type: "MESSAGE_TOO_LARGE" });

test("a letter goes to its topic as it was, with where it came from in the headers", async () => {
  const { sender, calls } = scripted();
  expect(await sender.send([letter(7, { partition: 3, source_offset: 42, source_index: 1 })])).toEqual(
    new Set([7]),
  );
  expect(calls).toEqual([
    {
      topic: "spans",
      records: [
        {
          key: null,
          value: Buffer.from("payload 7"),
          headers: {
            "timespan-dead-letter-id": "7",
            "timespan-dead-letter-source": "spans/3/42/1",
            "timespan-dead-letter-reason": "invalid_event",
            "timespan-dead-letter-received-at": "2026-11-21T16:00:00.000Z",
          },
        },
      ],
    },
  ]);
});

test("letters are sent by topic, in order, and no more bytes at once than Kafka takes", async () => {
  const { sender, ids } = scripted();
  const payload = Buffer.alloc(150_000);
  const letters = [1, 2, 3, 4].map((id) => letter(id, { payload }));
  await sender.send([
    ...letters,
    letter(5, { topic: "logs" }),
    letter(6, { payload: Buffer.alloc(900_000) }),
  ]);
  expect(ids()).toEqual([[1, 2], [3, 4], [6], [5]]);
});

test("what is too large together is sent alone, and what is too large alone stays and is named", async () => {
  const { sender, ids } = scripted((_, records) => {
    if (records.length > 1 || records[0]?.value.length === 3) throw tooLarge();
  });
  const sent = await sender.send([letter(1), letter(2, { payload: Buffer.from("abc") }), letter(3)]);
  expect(sent).toEqual(new Set([1, 3]));
  expect(ids()).toEqual([[1], [3]]);
  expect(sender.tooLargeIds).toEqual([2]);
  expect(sender.error).toBeUndefined();
});

test("after another failure nothing more is sent, and what was acknowledged before it counts", async () => {
  const { sender, ids } = scripted((topic) => {
    if (topic === "gone") throw new Error("no such topic");
  });
  const letters = [letter(1), letter(2, { topic: "gone" }), letter(3, { topic: "logs" })];
  expect(await sender.send(letters)).toEqual(new Set([1]));
  expect(sender.error).toEqual(new Error("no such topic"));
  expect(await sender.send([letter(4)])).toEqual(new Set());
  expect(ids()).toEqual([[1]]);
});

test("dead letters that hold the same whole record are sent once, also across pages", async () => {
  const { sender, ids } = scripted();
  const ofRecord = (id: number, source_index: number, payload = "whole") =>
    letter(id, { source_offset: 9, source_index, payload: Buffer.from(payload) });
  expect(await sender.send([ofRecord(1, 0), ofRecord(2, 1)])).toEqual(new Set([1, 2]));
  expect(await sender.send([ofRecord(3, 2), ofRecord(4, 3, "a part")])).toEqual(new Set([3, 4]));
  expect(ids()).toEqual([[1], [4]]);

  const refusing = scripted(() => {
    throw tooLarge();
  });
  expect(await refusing.sender.send([ofRecord(1, 0)])).toEqual(new Set());
  expect(await refusing.sender.send([ofRecord(2, 1)])).toEqual(new Set());
});
