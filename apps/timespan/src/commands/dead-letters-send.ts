import { isTooLarge, type OutgoingRecord, type RecordProducer } from "@timespan/broker/producer";
import type { ReplayableLetter } from "@timespan/store/dead-letters/replay-dead-letters";

/** Kafka takes about 1 MB of a partition at once; a record that is larger goes alone. */
const SEND_BYTES_MAX = 400_000;

/** Sends dead letters to their topics, and knows which Kafka has acknowledged. */
export interface LetterSender {
  /** Returns the ids of the letters that Kafka has. After the first {@link error} it sends nothing more. */
  send(letters: readonly ReplayableLetter[]): Promise<ReadonlySet<number>>;
  /** Ids of letters that Kafka refused for their size. */
  readonly tooLargeIds: readonly number[];
  /** Why sending ended; undefined while it goes on. */
  readonly error: unknown;
}

export function createLetterSender(producer: RecordProducer): LetterSender {
  const tooLargeIds: number[] = [];
  let error: unknown;
  let previous: { letter: ReplayableLetter; sent: boolean } | undefined;

  /** Whether all `letters` arrived; those of one topic, which are sent together. */
  async function sendTogether(letters: readonly ReplayableLetter[]): Promise<readonly number[]> {
    const [first] = letters;
    if (first === undefined || error !== undefined) return [];
    try {
      await producer.send(first.topic, letters.map(toRecord));
      return letters.map(({ id }) => id);
    } catch (cause) {
      if (!isTooLarge(cause)) {
        error = cause;
        return [];
      }
    }
    if (letters.length === 1) {
      tooLargeIds.push(first.id);
      return [];
    }
    const ids: number[] = [];
    for (const letter of letters) ids.push(...(await sendTogether([letter])));
    return ids;
  }

  return {
    async send(letters) {
      const { records, repeats } = dropRepeats(letters, previous?.letter);
      const sent = new Set<number>();
      for (const group of groupForSending(records)) {
        for (const id of await sendTogether(group)) sent.add(id);
      }
      // Two events of one record whose dead letters both hold the whole of it: it is sent once.
      for (const [id, of] of repeats) {
        if (of === undefined ? previous?.sent : sent.has(of)) sent.add(id);
      }
      const last = letters.at(-1);
      if (last !== undefined) previous = { letter: last, sent: sent.has(last.id) };
      return sent;
    },
    get tooLargeIds() {
      return tooLargeIds;
    },
    get error() {
      return error;
    },
  };
}

function toRecord(letter: ReplayableLetter): OutgoingRecord {
  const { id, received_at, topic, partition, source_offset, source_index, reason, payload } = letter;
  return {
    key: null,
    value: payload,
    headers: {
      "timespan-dead-letter-id": String(id),
      "timespan-dead-letter-source": `${topic}/${partition}/${source_offset}/${source_index}`,
      "timespan-dead-letter-reason": reason,
      "timespan-dead-letter-received-at": received_at,
    },
  };
}

/**
 * The letters without those that repeat the whole record of the letter before them.
 * @param before the last letter of the page before
 */
function dropRepeats(letters: readonly ReplayableLetter[], before: ReplayableLetter | undefined) {
  const records: ReplayableLetter[] = [];
  /** Id of a repeated letter → id of the one that is sent for it, undefined where that was before this page. */
  const repeats = new Map<number, number | undefined>();
  for (const letter of letters) {
    const kept = records.at(-1) ?? before;
    if (kept !== undefined && isSameRecord(kept, letter)) repeats.set(letter.id, records.at(-1)?.id);
    else records.push(letter);
  }
  return { records, repeats };
}

function isSameRecord(a: ReplayableLetter, b: ReplayableLetter): boolean {
  return (
    a.source_offset === b.source_offset &&
    a.partition === b.partition &&
    a.topic === b.topic &&
    a.source_index !== b.source_index &&
    Buffer.compare(a.payload, b.payload) === 0
  );
}

function groupForSending(letters: readonly ReplayableLetter[]): ReplayableLetter[][] {
  const groups: ReplayableLetter[][] = [];
  for (const ofTopic of Map.groupBy(letters, ({ topic }) => topic).values()) {
    let bytes = Number.POSITIVE_INFINITY;
    for (const letter of ofTopic) {
      bytes += letter.payload.byteLength;
      if (bytes > SEND_BYTES_MAX) {
        groups.push([]);
        bytes = letter.payload.byteLength;
      }
      groups.at(-1)?.push(letter);
    }
  }
  return groups;
}
