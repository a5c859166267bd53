import type { Access } from "@timespan/telemetry/access";
import type { LogItem } from "@timespan/telemetry/api/log-item";
import type { TimeUs } from "@timespan/telemetry/timestamp";
import type { Database } from "../database.ts";
import { type Fragment, given, where } from "../query/filters.ts";
import { logItemColumns } from "../query/item-columns.ts";
import type { LabelFilter } from "../query/page.ts";
import { escapeLike, timeParameter } from "../query/parameters.ts";
import { visibleRows } from "../query/visible-rows.ts";

/** What an error must match; null and an empty list of labels do not matter. */
export interface ErrorFilter {
  services: readonly string[] | null;
  environments: readonly string[] | null;
  /** Contained in the message, letter by letter. */
  message: string | null;
  labels: readonly LabelFilter[];
}

/** A place in one source of events: a partition of a topic, as the store numbers them. */
export interface SourcePosition {
  sourceId: number;
  offset: number;
  index: number;
}

/** The errors of one source after one position, up to and with another. */
export interface SourceSpan {
  sourceId: number;
  after: Omit<SourcePosition, "sourceId">;
  upTo: Omit<SourcePosition, "sourceId">;
}

export interface StoredError extends LogItem {
  source_id: number;
  /** As text, as the driver gives a `bigint`. */
  source_offset: string;
  source_index: number;
}

/**
 * The next errors of `spans`, oldest first, those of one source always in the order in which they came: what is
 * returned of a source is complete up to its last one.
 * @param fromUs errors that happened earlier are left out
 * @throws the driver's error where the database is away or the statement ran into its limit
 */
export async function listErrors(
  database: Database,
  access: Access,
  filter: ErrorFilter,
  spans: readonly SourceSpan[],
  fromUs: TimeUs,
  limit: number,
): Promise<StoredError[]> {
  const rows = await database<StoredError[]>`
SELECT ${errorColumns(database)}
FROM (
  SELECT
    log_records.*,
    max(time) OVER (PARTITION BY source_id ORDER BY source_offset, source_index) AS latest_time_so_far
  FROM timespan.log_records
  JOIN ${sourceSpans(database, spans)} USING (source_id)
  ${where(database, errorConditions(database, access, filter), [database`time >= ${timeParameter(database, fromUs)}`])}
) AS errors
ORDER BY latest_time_so_far, source_id, source_offset, source_index
LIMIT ${limit}`;
  return [...rows];
}

/**
 * The newest errors of `spans` by the time at which they happened, newest first.
 * @throws the driver's error where the database is away or the statement ran into its limit
 */
export async function listNewestErrors(
  database: Database,
  access: Access,
  filter: ErrorFilter,
  spans: readonly SourceSpan[],
  limit: number,
): Promise<StoredError[]> {
  const rows = await database<StoredError[]>`
SELECT ${errorColumns(database)}
FROM timespan.log_records
JOIN ${sourceSpans(database, spans)} USING (source_id)
${where(database, errorConditions(database, access, filter))}
ORDER BY time DESC, source_id DESC, source_offset DESC, source_index DESC
LIMIT ${limit}`;
  return [...rows];
}

/**
 * When the error at `position` happened, in microseconds since the Unix epoch; undefined where it is not stored.
 * @throws the driver's error where the database is away or the statement ran into its limit
 */
export async function findErrorTime(
  database: Database,
  { sourceId, offset, index }: SourcePosition,
): Promise<TimeUs | undefined> {
  const [row] = await database<{ timeUs: number }[]>`
SELECT (extract(epoch FROM time) * 1000000)::double precision AS "timeUs"
FROM timespan.log_records
WHERE severity_number >= 17
  AND source_id = ${sourceId}::smallint
  AND source_offset = ${offset}::bigint
  AND source_index = ${index}::integer`;
  return row?.timeUs;
}

function errorColumns(sql: Database): Fragment {
  return sql`${logItemColumns(sql)}, source_id, source_offset, source_index`;
}

function sourceSpans(sql: Database, spans: readonly SourceSpan[]): Fragment {
  return sql`unnest(
    ${spans.map(({ sourceId }) => sourceId)}::smallint[],
    ${spans.map(({ after }) => after.offset)}::bigint[],
    ${spans.map(({ after }) => after.index)}::integer[],
    ${spans.map(({ upTo }) => upTo.offset)}::bigint[],
    ${spans.map(({ upTo }) => upTo.index)}::integer[]
  ) AS spans (source_id, after_offset, after_index, last_offset, last_index)`;
}

function errorConditions(sql: Database, access: Access, filter: ErrorFilter): Fragment[] {
  return [
    // Written out: the index of errors is a partial one, and is used only where its condition can be seen.
    sql`severity_number >= 17`,
    sql`(source_offset, source_index) > (after_offset, after_index)`,
    sql`(source_offset, source_index) <= (last_offset, last_index)`,
    ...visibleRows(sql, access),
    ...visibleRows(sql, filter),
    ...given(filter.message, (text) => sql`body LIKE ${`%${escapeLike(text)}%`}`),
    ...filter.labels.map(({ key, value }) => sql`attributes ->> ${key} = ${value}`),
  ];
}
