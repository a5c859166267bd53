import type { Database } from "../database.ts";
import type { Fragment } from "./filters.ts";

const startTime = (sql: Database) =>
  sql`to_char(start_time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`;
const traceId = (sql: Database) => sql`replace(trace_id::text, '-', '')`;
const spanId = (sql: Database) => sql`lpad(to_hex(span_id), 16, '0')`;
const durationMs = (sql: Database) => sql`duration_us / 1000.0::double precision`;
const status = (sql: Database) =>
  sql`CASE status_code WHEN 0 THEN 'UNSET' WHEN 1 THEN 'OK' WHEN 2 THEN 'ERROR' END`;

/** The columns of `SpanItem`, from `timespan.spans`. */
export function spanItemColumns(database: Database): Fragment {
  return database`
  ${startTime(database)} AS timestamp,
  ${traceId(database)} AS trace_id,
  ${spanId(database)} AS span_id,
  lpad(to_hex(parent_span_id), 16, '0') AS parent_span_id,
  span_name AS name,
  CASE span_kind
    WHEN 1 THEN 'INTERNAL' WHEN 2 THEN 'SERVER' WHEN 3 THEN 'CLIENT' WHEN 4 THEN 'PRODUCER' WHEN 5 THEN 'CONSUMER'
  END AS kind,
  ${durationMs(database)} AS duration_ms,
  ${status(database)} AS status,
  service_name,
  environment,
  http_method,
  http_path,
  http_status_code,
  attributes AS labels`;
}

/** The columns of `RootSpanItem`, from `timespan.spans`. */
export function rootSpanColumns(database: Database): Fragment {
  return database`
  ${traceId(database)} AS trace_id,
  span_name AS root_span_name,
  ${status(database)} AS status,
  ${durationMs(database)} AS duration_ms,
  ${startTime(database)} AS start_time,
  service_name,
  environment,
  attributes AS labels`;
}

/** The columns of an item of `EndpointTraceList`, from `timespan.spans`. */
export function endpointTraceColumns(database: Database): Fragment {
  return database`
  ${traceId(database)} AS "traceId",
  ${spanId(database)} AS "spanId",
  ${startTime(database)} AS "timestamp",
  ${durationMs(database)} AS "durationMs",
  ${status(database)} AS "status",
  service_name AS "serviceName",
  environment`;
}

/** The columns of `LogItem`, from `timespan.log_records`. */
export function logItemColumns(database: Database): Fragment {
  return database`
  to_char(time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS timestamp,
  CASE WHEN severity_number < 9 THEN 'DEBUG' WHEN severity_number < 13 THEN 'INFO' WHEN severity_number < 17 THEN 'WARN' ELSE 'ERROR' END AS level,
  body AS message,
  service_name,
  environment,
  replace(trace_id::text, '-', '') AS trace_id,
  lpad(to_hex(span_id), 16, '0') AS span_id,
  attributes AS labels`;
}
