-- Up Migration
SET LOCAL ROLE timespan_owner;

CREATE TABLE timespan.api_keys (
  api_key_id   integer     PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
  created_at   timestamptz NOT NULL DEFAULT now(),
  expires_at   timestamptz,
  last_used_at timestamptz,
  revoked_at   timestamptz,
  key_hash     bytea       NOT NULL UNIQUE CHECK (octet_length(key_hash) = 32),
  key_hint     text        NOT NULL,
  name         text        NOT NULL CHECK (name <> ''),
  scopes       text[]      NOT NULL CHECK (cardinality(scopes) > 0 AND scopes <@ ARRAY['read', 'ingest', 'admin']),
  environments text[]      CHECK (cardinality(environments) > 0),
  services     text[]      CHECK (cardinality(services) > 0)
);
COMMENT ON TABLE timespan.api_keys IS 'Who may ask the API, and for what. The keys themselves are stored nowhere.';
COMMENT ON COLUMN timespan.api_keys.api_key_id IS 'Number of the key.';
COMMENT ON COLUMN timespan.api_keys.created_at IS 'When it was made.';
COMMENT ON COLUMN timespan.api_keys.expires_at IS 'From when on it is refused; null for never.';
COMMENT ON COLUMN timespan.api_keys.last_used_at IS 'When it was last used, to within some minutes; null where it never was.';
COMMENT ON COLUMN timespan.api_keys.revoked_at IS 'When a person revoked it; null where nobody did.';
COMMENT ON COLUMN timespan.api_keys.key_hash IS 'SHA-256 of the key.';
COMMENT ON COLUMN timespan.api_keys.key_hint IS 'The first characters of the key, to recognise it by.';
COMMENT ON COLUMN timespan.api_keys.name IS 'Who or what uses it, in the words of the person who made it.';
COMMENT ON COLUMN timespan.api_keys.scopes IS 'What it is for: read, ingest, admin (both).';
COMMENT ON COLUMN timespan.api_keys.environments IS 'The environments it may see; null for all.';
COMMENT ON COLUMN timespan.api_keys.services IS 'The services it may see; null for all.';
-- A name means one key that works; revoked ones keep theirs.
CREATE UNIQUE INDEX api_keys_name ON timespan.api_keys (name) WHERE revoked_at IS NULL;

-- The only thing that the API may ever write.
GRANT SELECT, UPDATE (last_used_at) ON timespan.api_keys TO timespan_reader;

RESET ROLE;
