-- Up Migration
SET LOCAL ROLE timespan_owner;

COMMENT ON FUNCTION timespan.read_retention() IS
  'What is kept for how long, and what of it is there; the rows of apm.retention_status. It looks for the oldest row of each relation.';
REVOKE EXECUTE ON FUNCTION timespan.read_retention() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION timespan.read_retention() TO timespan_reader, timespan_analyst;

-- What was promised anybody may know, but names of environments only where their rows may be seen. Times and bytes tell of
-- rows: of all, or of an environment's in every service.
CREATE VIEW apm.retention_status WITH (security_barrier) AS
SELECT
  signal,
  relation,
  environment,
  retention,
  CASE WHEN of_visible_rows THEN oldest_time END AS oldest_time,
  CASE WHEN of_visible_rows THEN size_bytes END AS size_bytes,
  CASE WHEN of_visible_rows THEN next_drop_time END AS next_drop_time
FROM timespan.read_retention()
CROSS JOIN LATERAL (
  SELECT timespan.sees_everything() OR (environment IS NOT NULL AND timespan.visible_services() IS NULL) AS of_visible_rows
) AS visibility
WHERE environment IS NULL
  OR timespan.visible_environments() IS NULL
  OR environment IN (SELECT timespan.environment_key(name) FROM unnest(timespan.visible_environments()) AS name);
COMMENT ON VIEW apm.retention_status IS 'How long each kind of data is kept, what is really there, and what goes next. A login with limits sees no environment but its own, and of what tells of rows that it may not see, null.';
COMMENT ON COLUMN apm.retention_status.signal IS 'Which setting it is: spans, logs, rollup_1m, rollup_1h or dead_letters. On plain PostgreSQL rollups are computed from the rows and kept nowhere.';
COMMENT ON COLUMN apm.retention_status.relation IS 'The table or rollup.';
COMMENT ON COLUMN apm.retention_status.environment IS 'The environment with a retention of its own, in lower case with _ between words; null for all.';
COMMENT ON COLUMN apm.retention_status.retention IS 'How long rows are kept, as set.';
COMMENT ON COLUMN apm.retention_status.oldest_time IS 'Time of the oldest row that is there; null where there is none. As rows go by whole chunks or days, it may be older than was promised.';
COMMENT ON COLUMN apm.retention_status.size_bytes IS 'Bytes on disk, indexes included; null for one environment, whose rows lie among the others.';
COMMENT ON COLUMN apm.retention_status.next_drop_time IS 'When the oldest chunk or day will go, at the earliest: jobs run every hour.';
GRANT SELECT ON apm.retention_status TO timespan_reader, timespan_analyst;

RESET ROLE;
