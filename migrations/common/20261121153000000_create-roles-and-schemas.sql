-- Up Migration

-- Roles belong to the whole server, so another database of it may have made them already.
DO $$
DECLARE
  role_name text;
BEGIN
  FOREACH role_name IN ARRAY ARRAY['timespan_owner', 'timespan_writer', 'timespan_reader', 'timespan_analyst'] LOOP
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = role_name) THEN
      BEGIN
        EXECUTE format('CREATE ROLE %I NOLOGIN', role_name);
      EXCEPTION WHEN duplicate_object OR unique_violation THEN
        NULL; -- made by another migration at this very moment
      END;
    END IF;
    -- Whoever migrates may act as each of them: one DATABASE_URL serves all apps, and each takes the role it needs.
    IF NOT pg_has_role(current_user, role_name, 'MEMBER') THEN
      EXECUTE format('GRANT %I TO %I', role_name, current_user);
    END IF;
  END LOOP;
END
$$;

COMMENT ON ROLE timespan_owner IS 'Timespan: owns the schemas and runs the background jobs.';
COMMENT ON ROLE timespan_writer IS 'Timespan: what the stream-processor may do: insert, never change or read back signals.';
COMMENT ON ROLE timespan_reader IS 'Timespan: what the query API may do: read.';
COMMENT ON ROLE timespan_analyst IS 'Timespan: what a person with SQL may do: read the views of schema apm.';

CREATE SCHEMA IF NOT EXISTS timespan;
CREATE SCHEMA IF NOT EXISTS apm;
ALTER SCHEMA timespan OWNER TO timespan_owner;
ALTER SCHEMA apm OWNER TO timespan_owner;
COMMENT ON SCHEMA timespan IS 'Private tables of Timespan. They change between versions: read the views of schema apm instead.';
COMMENT ON SCHEMA apm IS 'What people read: documented, stable views over spans and logs.';

GRANT USAGE ON SCHEMA timespan TO timespan_writer, timespan_reader;
GRANT USAGE ON SCHEMA apm TO timespan_reader, timespan_analyst;
GRANT SELECT ON timespan.schema_migrations TO timespan_writer, timespan_reader;
