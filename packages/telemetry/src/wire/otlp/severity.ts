import { SEVERITY_NUMBER } from "../../severity.ts";

/** OpenTelemetry's short names of the severity numbers 1 to 24. */
export const SEVERITY_SHORT_NAMES: readonly string[] = [
  "TRACE",
  "DEBUG",
  "INFO",
  "WARN",
  "ERROR",
  "FATAL",
].flatMap((name) => [name, `${name}2`, `${name}3`, `${name}4`]);

/**
 * Words that loggers use, where a record has only a text: the short names themselves, and the mappings of
 * OpenTelemetry's log data model, appendix B (CRITICAL as Python and .NET have it, CRIT as syslog).
 */
const NUMBER_OF_TEXT: ReadonlyMap<string, number> = new Map([
  ...SEVERITY_SHORT_NAMES.map((name, index): [string, number] => [name, index + 1]),
  ["VERBOSE", 5],
  ["INFORMATION", 9],
  ["INFORMATIONAL", 9],
  ["NOTICE", 10],
  ["WARNING", 13],
  ["ERR", 17],
  ["SEVERE", 17],
  ["CRIT", 18],
  ["ALERT", 19],
  ["CRITICAL", 21],
  ["EMERGENCY", 21],
  ["EMERG", 21],
  ["PANIC", 21],
]);

/**
 * Number and text of a log record's severity. The number given is kept, and so is the text, except that short names
 * are in upper case; one that is missing follows from the other. A record without either is INFO.
 */
export function severityOf(givenNumber: number, givenText: string): { number: number; text: string } {
  const word = givenText.trim().toUpperCase();
  const number =
    givenNumber >= 1 && givenNumber <= 24 ? givenNumber : (NUMBER_OF_TEXT.get(word) ?? SEVERITY_NUMBER.INFO);
  if (word === "") return { number, text: SEVERITY_SHORT_NAMES[number - 1] ?? "INFO" };
  return { number, text: SEVERITY_SHORT_NAMES.includes(word) ? word : givenText };
}
