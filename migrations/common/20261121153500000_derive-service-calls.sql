-- Up Migration
SET LOCAL ROLE timespan_owner;

-- One statement says what a call is; the job of TimescaleDB and the views of plain PostgreSQL both read it. What began
-- within ten seconds of a span decides about it, so the calls of a minute follow from it and the two beside it.
CREATE FUNCTION timespan.service_calls(from_time timestamptz, to_time timestamptz)
RETURNS TABLE (
  bucket timestamptz,
  service_name text,
  environment text,
  target_name text,
  target_type text,
  duration_bin smallint,
  call_count double precision,
  error_count double precision,
  duration_us_sum double precision,
  duration_us_max bigint
)
LANGUAGE sql STABLE
-- On plain PostgreSQL the views of people call it in their name. They cannot call it themselves: the schema is closed to them.
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
-- Of fresh rows there are no statistics yet, and whatever is not a hash join takes minutes where this takes seconds.
SET enable_nestloop = off
SET enable_mergejoin = off
SET enable_sort = off
AS $$
  SELECT
    date_bin(INTERVAL '1 minute', coalesce(answer.start_time, caller.start_time), TIMESTAMPTZ '2000-01-01 00:00:00+00'),
    caller.service_name,
    caller.environment,
    coalesce(answer.service_name, caller.peer_service),
    CASE
      WHEN answer.service_name IS NOT NULL THEN 'service'
      WHEN caller.attributes ?| ARRAY['db.system.name', 'db.system', 'db.namespace', 'db.name'] THEN 'database'
      WHEN caller.span_kind = 4
        OR caller.attributes ?| ARRAY['messaging.system', 'messaging.destination.name', 'messaging.destination'] THEN 'queue'
      ELSE 'external'
    END,
    coalesce(answer.duration_bin, caller.duration_bin),
    sum(coalesce(answer.sample_weight, caller.sample_weight)),
    coalesce(
      sum(coalesce(answer.sample_weight, caller.sample_weight)) FILTER (WHERE coalesce(answer.status_code, caller.status_code) = 2), 0
    ),
    sum(coalesce(answer.duration_us * answer.sample_weight, caller.duration_us * caller.sample_weight)),
    max(coalesce(answer.duration_us, caller.duration_us))
  FROM timespan.spans AS caller
  -- The other side of a call is what OpenTelemetry has SERVER and CONSUMER for. Only they are hashed, a quarter of all.
  LEFT JOIN (
    SELECT trace_id, parent_span_id, service_name, start_time, duration_bin, duration_us, status_code, sample_weight
    FROM timespan.spans
    WHERE span_kind IN (2, 5)
      AND parent_span_id IS NOT NULL
      AND start_time >= from_time - INTERVAL '10 seconds'
      AND start_time < to_time + INTERVAL '10 seconds'
  ) AS answer
    ON answer.parent_span_id = caller.span_id
    AND answer.trace_id = caller.trace_id
    AND answer.service_name <> caller.service_name
    AND answer.start_time BETWEEN caller.start_time - INTERVAL '10 seconds' AND caller.start_time + INTERVAL '10 seconds'
  WHERE caller.start_time >= from_time - INTERVAL '10 seconds'
    AND caller.start_time < to_time + INTERVAL '10 seconds'
    AND CASE
      WHEN answer.start_time IS NOT NULL THEN answer.start_time >= from_time AND answer.start_time < to_time
      -- Nobody of the other side sends spans: it is known by what the caller says of it.
      ELSE caller.span_kind IN (3, 4)
        AND caller.peer_service IS NOT NULL
        AND caller.start_time >= from_time
        AND caller.start_time < to_time
    END
  GROUP BY 1, 2, 3, 4, 5, 6
$$;
COMMENT ON FUNCTION timespan.service_calls(timestamptz, timestamptz) IS
  'Who called whom in a window of whole minutes, from spans: a row a minute, edge and bin of the duration. A call is a SERVER or CONSUMER span whose parent, of whatever kind, is of another service and began at most ten seconds before or after it; its duration and status are those of the service called. A CLIENT or PRODUCER span without such a child is a call to what it names.';
REVOKE EXECUTE ON FUNCTION timespan.service_calls(timestamptz, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION timespan.service_calls(timestamptz, timestamptz) TO timespan_reader, timespan_analyst;

RESET ROLE;
