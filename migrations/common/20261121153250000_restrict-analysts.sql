-- Up Migration
SET LOCAL ROLE timespan_owner;

CREATE TABLE timespan.analyst_access (
  role_name    name        PRIMARY KEY,
  environments text[],
  services     text[],
  created_at   timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE timespan.analyst_access IS 'Which rows each analyst may see; kept by `timespan analysts`.';
COMMENT ON COLUMN timespan.analyst_access.role_name IS 'The login.';
COMMENT ON COLUMN timespan.analyst_access.environments IS 'Environments it sees; null for all.';
COMMENT ON COLUMN timespan.analyst_access.services IS 'Services it sees; null for all.';
COMMENT ON COLUMN timespan.analyst_access.created_at IS 'When the login was made.';

-- By session_user, which nobody but a superuser can change: SET ROLE and functions of another owner do not move it.
CREATE FUNCTION timespan.session_access() RETURNS timespan.analyst_access
LANGUAGE plpgsql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  access timespan.analyst_access;
BEGIN
  -- Whoever may read the tables themselves is not limited by views.
  IF pg_has_role(session_user, 'timespan_reader', 'MEMBER') OR pg_has_role(session_user, 'timespan_owner', 'MEMBER') THEN
    RETURN access;
  END IF;
  SELECT * INTO access FROM timespan.analyst_access WHERE role_name = session_user;
  -- A login that another database of this server made must not see everything here.
  IF NOT FOUND THEN
    RAISE insufficient_privilege USING
      MESSAGE = format('it is not known which rows %I may see', session_user),
      HINT = 'Logins for schema apm are made by: timespan analysts create';
  END IF;
  RETURN access;
END
$$;
COMMENT ON FUNCTION timespan.session_access() IS 'What the login of this session may see; a row of nulls for everything.';

-- IMMUTABLE although they read a table: so the planner puts the answer in their place, and who sees everything gets
-- plans without any condition. It holds because the answer never changes within a session, and no plan outlives one:
-- an analyst's rows are written before its first login, and `timespan analysts drop` ends its sessions.
CREATE FUNCTION timespan.visible_environments() RETURNS text[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ BEGIN RETURN (timespan.session_access()).environments; END $$;
COMMENT ON FUNCTION timespan.visible_environments() IS 'Environments that the login of this session may see; null for all.';

CREATE FUNCTION timespan.visible_services() RETURNS text[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ BEGIN RETURN (timespan.session_access()).services; END $$;
COMMENT ON FUNCTION timespan.visible_services() IS 'Services that the login of this session may see; null for all.';

CREATE FUNCTION timespan.sees_everything() RETURNS boolean
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ BEGIN RETURN timespan.visible_environments() IS NULL AND timespan.visible_services() IS NULL; END $$;
COMMENT ON FUNCTION timespan.sees_everything() IS 'Whether the login of this session may see every row.';

REVOKE EXECUTE ON FUNCTION
  timespan.session_access(), timespan.visible_environments(), timespan.visible_services(), timespan.sees_everything()
FROM PUBLIC;
-- The views call them in the name of whoever reads the view.
GRANT EXECUTE ON FUNCTION
  timespan.visible_environments(), timespan.visible_services(), timespan.sees_everything()
TO timespan_reader, timespan_analyst;

RESET ROLE;

-- An analyst makes nothing, not even for a moment: with a temporary schema it could bring functions of its own, with a
-- job it could run them in the background, and large objects would fill the disk. Only an owner may take these rights
-- from everybody; where another migrates, `timespan analysts create` says what is left to do.
DO $$
DECLARE
  maker regprocedure;
BEGIN
  IF pg_has_role(current_user, (SELECT datdba FROM pg_database WHERE datname = current_database()), 'USAGE') THEN
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
  END IF;
  FOR maker IN
    SELECT oid FROM pg_proc
    WHERE proname IN ('add_job', 'lo_creat', 'lo_create', 'lo_from_bytea')
      AND has_function_privilege('timespan_analyst', oid, 'EXECUTE')
      AND pg_has_role(current_user, proowner, 'USAGE')
  LOOP
    EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', maker);
    EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO timespan_owner', maker);
  END LOOP;
END
$$;
