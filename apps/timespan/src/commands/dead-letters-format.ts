import type { DeadLetterCount } from "@timespan/store/dead-letters/count-dead-letters";
import type { DeadLetterRow } from "@timespan/store/dead-letters/find-dead-letter";
import type { DeadLetterItem } from "@timespan/store/dead-letters/list-dead-letters";

/** Most of a payload that is shown. */
export const SHOWN_TEXT_BYTES = 64 * 1024;
export const SHOWN_HEX_BYTES = 4 * 1024;

const DETAIL_CHARACTERS_MAX = 60;
const BYTES_PER_HEX_LINE = 16;
/** With more of them a payload is no text, whatever its bytes may mean in UTF-8. */
const CONTROL_CHARACTERS_SHARE_MAX = 0.05;

type Columns = readonly (readonly [header: string, cell: (item: DeadLetterItem) => string])[];

const COLUMNS: Columns = [
  ["ID", ({ id }) => String(id)],
  ["RECEIVED", ({ received_at }) => received_at],
  ["TOPIC/PARTITION/OFFSET", (item) => printable(sourceOf(item))],
  ["REASON", ({ reason }) => printable(reason)],
  ["DETAIL", ({ detail }) => shorten(printable(detail), DETAIL_CHARACTERS_MAX)],
  ["STATE", ({ state }) => state],
];

/** Lines of a table, page by page: the first page decides how wide the columns are. */
export function createTable(): (items: readonly DeadLetterItem[]) => string[] {
  let widths: number[] | undefined;
  return (items) => {
    const rows = items.map((item) => COLUMNS.map(([, cell]) => cell(item)));
    const first = widths === undefined;
    widths ??= COLUMNS.map(([header], column) =>
      Math.max(header.length, ...rows.map((row) => row[column]?.length ?? 0)),
    );
    const line = (cells: readonly string[]) =>
      cells
        .map((cell, column) => cell.padEnd(widths?.[column] ?? 0))
        .join("  ")
        .trimEnd();
    return [...(first ? [line(COLUMNS.map(([header]) => header))] : []), ...rows.map(line)];
  };
}

/** One line for each kind of dead letter. */
export function countLines(counts: readonly DeadLetterCount[]): string[] {
  return counts.map(
    ({ topic, reason, count, bytes }) =>
      `  ${count.toLocaleString("en")} × ${printable(reason)} of ${printable(topic)}, ${bytes.toLocaleString("en")} bytes`,
  );
}

/** All that is known of a dead letter, its payload as text where it is one. */
export function detailLines(letter: DeadLetterRow): string[] {
  const fields: [string, string | null][] = [
    ["id", String(letter.id)],
    ["received", letter.received_at],
    ["source", printable(sourceOf(letter))],
    ["reason", printable(letter.reason)],
    ["detail", printable(letter.detail)],
    ["state", letter.state],
    ["replayed", letter.replayed_at],
    ["discarded", letter.discarded_at],
    [
      "payload",
      letter.payload === null ? "none is kept" : `${letter.payload.byteLength.toLocaleString("en")} bytes`,
    ],
  ];
  return [
    ...fields.flatMap(([name, value]) => (value === null ? [] : [`${name.padEnd(10)}${value}`])),
    ...(letter.payload === null ? [] : ["", ...payloadLines(letter.payload)]),
  ];
}

/** A payload as text where it is UTF-8, otherwise as hex; no more than a person looks at. */
export function payloadLines(payload: Uint8Array): string[] {
  const text = asText(payload.subarray(0, SHOWN_TEXT_BYTES));
  const shown = text === undefined ? SHOWN_HEX_BYTES : SHOWN_TEXT_BYTES;
  const lines =
    text === undefined ? hexLines(payload.subarray(0, SHOWN_HEX_BYTES)) : text.split("\n").map(printable);
  const hidden = payload.byteLength - shown;
  return hidden > 0
    ? [...lines, `… ${hidden.toLocaleString("en")} more bytes; --raw gives all of them`]
    : lines;
}

function asText(bytes: Uint8Array): string | undefined {
  try {
    // As of a stream, because the last character may have been cut in two.
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes, { stream: true });
    const controls = text.match(/(?![\t\n\r])\p{Cc}/gu)?.length ?? 0;
    return controls > text.length * CONTROL_CHARACTERS_SHARE_MAX ? undefined : text;
  } catch {
    return undefined;
  }
}

function hexLines(bytes: Uint8Array): string[] {
  const lines: string[] = [];
  for (let start = 0; start < bytes.byteLength; start += BYTES_PER_HEX_LINE) {
    const part = bytes.subarray(start, start + BYTES_PER_HEX_LINE);
    const hex = [...part].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    const text = [...part]
      .map((byte) => (byte >= 32 && byte < 127 ? String.fromCharCode(byte) : "."))
      .join("");
    lines.push(`${start.toString(16).padStart(8, "0")}  ${hex.padEnd(BYTES_PER_HEX_LINE * 3 - 1)}  ${text}`);
  }
  return lines;
}

/** What came from a client must not steer the terminal: control and direction characters are shown as their code. */
export function printable(text: string): string {
  return text.replace(
    /(?!\t)[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

function sourceOf({ topic, partition, source_offset, source_index }: DeadLetterItem): string {
  const record = `${topic}/${partition}/${source_offset}`;
  return source_index === 0 ? record : `${record}#${source_index}`;
}

function shorten(text: string, charactersMax: number): string {
  return text.length > charactersMax ? `${text.slice(0, charactersMax - 1)}…` : text;
}
