import type { z } from "zod";

/** A path of the API as its document describes it; requests are read and answers are typed by the same schemas. */
export interface Operation<S extends z.ZodObject = z.ZodObject> {
  /** Verb and noun: what generated clients call it. */
  id: string;
  /** As the router takes it: `:name` is a parameter. */
  path: string;
  /** One line. */
  summary: string;
  /** More, where one line does not say it. */
  description?: string;
  /** What each parameter of the path is. */
  pathParameters?: Readonly<Record<string, string>>;
  /** Parameters after the question mark. */
  parameters: S;
  /** Whether `label.<key>` is taken too. */
  takesLabels?: boolean;
  answer: z.ZodType;
  /** When it answers 404, where it does. */
  notFound?: string;
}
