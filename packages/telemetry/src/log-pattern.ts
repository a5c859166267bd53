import { createHash } from "node:crypto";
import { OTHER_NAME } from "./guards-name-limit.ts";

/** What the logs of one statement have in common: the body with its values taken out, and its id. */
export interface LogPattern {
  /** First 8 bytes of the SHA-256 of `pattern`, as 16 hex digits. */
  patternId: string;
  pattern: string;
}

/** How much of a body is looked at: what tells two statements apart stands at its beginning. */
export const PATTERN_BODY_CHARACTERS_MAX = 512;

/**
 * Quoted text, uuids, hex with a decimal digit in it, and numbers with their unit or fraction. A single quote counts
 * only where a word cannot have it, so that "can't" stays. No branch can match what another began, so time is linear.
 */
const VALUES =
  /(")[^"\n]*"|(?<!\w)(')[^'\n]*'(?!\w)|\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b|\b0x[0-9a-f]+\b|\b(?=[a-f]*\d)[0-9a-f]{8,}\b|\d+(?:[.,:]\d+)*/gi;

/** In place of a value; that of a quoted text keeps its quotes, for it may have been any words. */
const VALUE = "$1$2<*>$1$2";
/** Ends the pattern of a body of which only the beginning was looked at. */
const CUT = "…";

/**
 * `body` cut to its first line and length, with every quoted text, uuid, hex string and number replaced by `<*>`. What
 * was replaced within quotes, and what was cut, can be seen: see {@link patternsOfText}.
 */
export function patternText(body: string): string {
  const end = body.indexOf("\n");
  const line = body.slice(
    0,
    end === -1 ? PATTERN_BODY_CHARACTERS_MAX : Math.min(end, PATTERN_BODY_CHARACTERS_MAX),
  );
  const text = line.replace(VALUES, VALUE).toWellFormed();
  return line.length < body.length ? text + CUT : text;
}

/** A word with a letter that is no hex digit: no value but a quoted text has it, or ends within it. */
const WORD = /(?<![a-z_])[a-z_]*[g-wyz_][a-z_]*(?![a-z_])/gi;

/**
 * The pattern of a body that contains `text` has one of these in it: a word of the text, a quoted text, that it was cut,
 * or the name of those that were too many. `undefined` where `text` has no word that is sure to be seen in a pattern.
 */
export function patternsOfText(text: string): readonly string[] | undefined {
  const words = text.match(WORD) ?? [];
  const longest = words.reduce((a, b) => (b.length > a.length ? b : a), "");
  return longest === "" ? undefined : [longest, '"<*>"', "'<*>'", CUT, OTHER_NAME];
}

/** Patterns remembered by a process; beyond it the memory starts afresh, which costs only time. */
const REMEMBERED_MAX = 10_000;
const remembered = new Map<string, LogPattern>();

/** The pattern with this text: the same object for the same text, as long as it is remembered. */
export function logPattern(pattern: string): LogPattern {
  const found = remembered.get(pattern);
  if (found !== undefined) return found;
  const patternId = createHash("sha256").update(pattern).digest("hex").slice(0, 16);
  const made = { patternId, pattern };
  if (remembered.size >= REMEMBERED_MAX) remembered.clear();
  remembered.set(pattern, made);
  return made;
}
