import type { LabelFilter } from "@timespan/store/query/page";
import { environmentName } from "@timespan/telemetry/environment-name";
import { NAME_CHARACTERS_MAX } from "@timespan/telemetry/wire/event-fields";
import { z } from "zod";
import type { ParameterProblem } from "./problem.ts";

/** A longer URL is refused before it is read: half of what servers and proxies commonly take. */
export const URL_CHARACTERS_MAX = 8_192;
/** Labels of one query: each is one more condition on every row. */
export const LABELS_MAX = 10;
export const LABEL_VALUE_CHARACTERS_MAX = 2_048;

const LABEL_PREFIX = "label.";

/** Text to compare with; NUL cannot be stored, so nothing could match it. */
export const text = (charactersMax = NAME_CHARACTERS_MAX) =>
  z
    .string()
    .min(1, "must not be empty")
    .max(charactersMax, `must have at most ${charactersMax} characters`)
    .refine((value) => !value.includes("\0"), "must not contain NUL");

/** A whole number within `min..max`. */
export const wholeNumber = (min: number, max: number) =>
  number(/^\d{1,15}$/, "must be a whole number", min, max).meta({
    type: "integer",
    minimum: min,
    maximum: max,
  });

/** A number with up to twelve decimals within `min..max`, without exponent. */
export const decimal = (min: number, max: number) =>
  number(/^\d{1,12}(\.\d{1,12})?$/, "must be a number such as 250 or 0.5", min, max).meta({
    type: "number",
    minimum: min,
    maximum: max,
  });

const number = (form: RegExp, message: string, min: number, max: number) =>
  z
    .string()
    .refine((value) => form.test(value), message)
    .transform(Number)
    .pipe(z.number().min(min, `must be at least ${min}`).max(max, `must be at most ${max}`));

/** Where it is not given, `fallback`, as the document says too. */
export const withDefault = <S extends z.ZodType, D extends z.output<S>>(schema: S, fallback: D) =>
  schema
    .optional()
    .transform((value): z.output<S> => value ?? fallback)
    .meta({ default: fallback });

/** An end of a window; `resolveTimeRange` reads it. */
export const time = (meaning: string) =>
  text()
    .optional()
    .describe(`${meaning} ISO 8601 with an offset, epoch milliseconds, or relative such as now-15m.`)
    .meta({ examples: ["now-15m", "2026-11-21T15:00:00Z", "1795273200000"] });

export const environment = () =>
  text().transform(environmentName).optional().describe("prod, dev and stage are spelled out.");

/** One of `values`, exactly. */
export const oneOf = <const V extends readonly string[]>(values: V) =>
  z.enum(values, `must be one of ${values.join(", ")}`);

/** What was read: `values` lacks the parameters that are a problem. */
export interface ReadParameters<S extends z.ZodObject> {
  values: Partial<z.output<S>>;
  labels: LabelFilter[];
  problems: ParameterProblem[];
}

/**
 * Reads query parameters by `schema`, each on its own, so that every problem is found at once: unknown names,
 * repeated ones, values that do not fit. With `labels`, parameters `label.<key>` are taken too.
 */
export function readParameters<S extends z.ZodObject>(
  search: URLSearchParams,
  schema: S,
  { labels: takesLabels }: { labels: boolean },
): ReadParameters<S> {
  const values: Record<string, unknown> = {};
  const labels: LabelFilter[] = [];
  const problems: ParameterProblem[] = [];
  const names = new Set(search.keys());
  for (const name of names) {
    const isLabel = takesLabels && name.startsWith(LABEL_PREFIX);
    if (!isLabel && !Object.hasOwn(schema.shape, name)) {
      const known = Object.keys(schema.shape).join(", ");
      problems.push({
        name,
        reason: `is not known here; known are ${known}${takesLabels ? ", label.<key>" : ""}`,
      });
    } else if (search.getAll(name).length > 1) {
      problems.push({ name, reason: "must be given once" });
    } else if (isLabel) {
      const reason = labelProblem(name.slice(LABEL_PREFIX.length), search.get(name) ?? "");
      if (reason !== undefined) problems.push({ name, reason });
      else labels.push({ key: name.slice(LABEL_PREFIX.length), value: search.get(name) ?? "" });
    }
  }
  if (labels.length > LABELS_MAX) {
    problems.push({ name: "label.<key>", reason: `must be given at most ${LABELS_MAX} times` });
  }
  for (const [name, field] of Object.entries(schema.shape)) {
    if (search.getAll(name).length > 1) continue;
    const result = z.safeParse(field, search.get(name) ?? undefined);
    if (result.success) values[name] = result.data;
    else problems.push({ name, reason: result.error.issues[0]?.message ?? "is not valid" });
  }
  return { values: values as Partial<z.output<S>>, labels, problems };
}

function labelProblem(key: string, value: string): string | undefined {
  if (key === "") return "needs the label's key, as in label.region=eu";
  if (key.length > NAME_CHARACTERS_MAX)
    return `must have at most ${NAME_CHARACTERS_MAX} characters in its key`;
  if (value.length > LABEL_VALUE_CHARACTERS_MAX) {
    return `must have at most ${LABEL_VALUE_CHARACTERS_MAX} characters`;
  }
  if (key.includes("\0") || value.includes("\0")) return "must not contain NUL";
  return undefined;
}
