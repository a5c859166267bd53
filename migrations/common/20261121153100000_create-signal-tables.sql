-- Up Migration
SET LOCAL ROLE timespan_owner;

-- Wide columns stand first and eight-byte ones together, so that no row wastes bytes on alignment.
-- The three source_* columns say which Kafka record a row came from. Together they are unique, which gives every
-- list a total order and every live event an id, and they compress to almost nothing. There is no unique index:
-- exactly once comes from ingest_offsets, and a key would cost a quarter of the ingest rate.
CREATE TABLE timespan.spans (
  start_time       timestamptz NOT NULL,
  duration_us      bigint      NOT NULL,
  sample_weight    double precision NOT NULL,
  trace_id         uuid        NOT NULL,
  span_id          bigint      NOT NULL,
  parent_span_id   bigint,
  resource_id      bigint      NOT NULL,
  source_offset    bigint      NOT NULL,
  source_index     integer     NOT NULL,
  source_id        smallint    NOT NULL,
  duration_bin     smallint    NOT NULL,
  span_kind        smallint    NOT NULL,
  status_code      smallint    NOT NULL,
  http_status_code smallint,
  service_name     text        NOT NULL,
  environment      text        NOT NULL,
  span_name        text        NOT NULL,
  endpoint         text        NOT NULL,
  peer_service     text,
  http_method      text,
  http_path        text,
  status_message   text,
  attributes       jsonb       NOT NULL,
  events           jsonb,
  links            jsonb
);
COMMENT ON COLUMN timespan.spans.start_time IS 'When the span began.';
COMMENT ON COLUMN timespan.spans.duration_us IS 'How long it took, in microseconds.';
COMMENT ON COLUMN timespan.spans.sample_weight IS 'How many spans this one stands for: 1, or more where the client sampled.';
COMMENT ON COLUMN timespan.spans.trace_id IS 'W3C trace id, its 16 bytes as a uuid.';
COMMENT ON COLUMN timespan.spans.span_id IS 'W3C span id, its 8 bytes as a signed integer.';
COMMENT ON COLUMN timespan.spans.parent_span_id IS 'Span id of the caller; null for the root of a trace.';
COMMENT ON COLUMN timespan.spans.resource_id IS 'What emitted the span: see timespan.resources.';
COMMENT ON COLUMN timespan.spans.source_offset IS 'Offset of the Kafka record the row came from.';
COMMENT ON COLUMN timespan.spans.source_index IS 'Position of the span within that record, from 0.';
COMMENT ON COLUMN timespan.spans.source_id IS 'Topic and partition of that record: see timespan.ingest_offsets.';
COMMENT ON COLUMN timespan.spans.duration_bin IS 'Bin of the duration: OpenTelemetry exponential histogram of microseconds, scale 5; -32768 for a duration of zero.';
COMMENT ON COLUMN timespan.spans.span_kind IS 'OpenTelemetry SpanKind: 1 INTERNAL, 2 SERVER, 3 CLIENT, 4 PRODUCER, 5 CONSUMER.';
COMMENT ON COLUMN timespan.spans.status_code IS 'OpenTelemetry StatusCode: 0 UNSET, 1 OK, 2 ERROR.';
COMMENT ON COLUMN timespan.spans.http_status_code IS 'Status code of the HTTP response, where the span is an HTTP call.';
COMMENT ON COLUMN timespan.spans.service_name IS 'Name of the service (OpenTelemetry service.name).';
COMMENT ON COLUMN timespan.spans.environment IS 'Environment (OpenTelemetry deployment.environment.name).';
COMMENT ON COLUMN timespan.spans.span_name IS 'Name of the operation.';
COMMENT ON COLUMN timespan.spans.endpoint IS 'The operation with ids taken out of its path, so that calls of one kind share a name; other where a service had too many.';
COMMENT ON COLUMN timespan.spans.peer_service IS 'Whom a client or producer span called, where it says so.';
COMMENT ON COLUMN timespan.spans.http_method IS 'HTTP request method.';
COMMENT ON COLUMN timespan.spans.http_path IS 'HTTP request path.';
COMMENT ON COLUMN timespan.spans.status_message IS 'What went wrong, in the words of the client.';
COMMENT ON COLUMN timespan.spans.attributes IS 'Everything else the event carried: its labels and unknown fields.';
COMMENT ON COLUMN timespan.spans.events IS 'OpenTelemetry span events, as an array of {time, name, attributes}; null where there are none.';
COMMENT ON COLUMN timespan.spans.links IS 'OpenTelemetry links, as an array of {trace_id, span_id, attributes}; null where there are none.';

-- "What did this service do lately": service lists, searches, and every dashboard.
CREATE INDEX spans_service_time ON timespan.spans (service_name, start_time DESC);
-- "Show me this trace", while its rows are not yet in the columnstore.
CREATE INDEX spans_trace ON timespan.spans (trace_id);
-- What rollups have not read yet, whoever sent it; and the newest spans of a window without a service. In time's
-- order it grows at one end, which costs least.
CREATE INDEX spans_time ON timespan.spans (start_time DESC);
-- "What failed in this service lately", and how often: few rows, so few entries.
CREATE INDEX spans_service_errors ON timespan.spans (service_name, start_time DESC) WHERE status_code = 2;
-- "What took longest", while its rows are not yet in the columnstore. Longer than Apdex's T: where most spans are as
-- long, a list of the longest asks for far longer ones.
CREATE INDEX spans_slow ON timespan.spans (duration_us) WHERE duration_us > 500000;

CREATE TABLE timespan.log_records (
  time            timestamptz NOT NULL,
  trace_id        uuid,
  span_id         bigint,
  resource_id     bigint      NOT NULL,
  pattern_id      bigint      NOT NULL,
  source_offset   bigint      NOT NULL,
  source_index    integer     NOT NULL,
  source_id       smallint    NOT NULL,
  severity_number smallint    NOT NULL,
  severity_text   text        NOT NULL,
  service_name    text        NOT NULL,
  environment     text        NOT NULL,
  body            text        NOT NULL,
  attributes      jsonb       NOT NULL
);
COMMENT ON COLUMN timespan.log_records.time IS 'When the event happened.';
COMMENT ON COLUMN timespan.log_records.trace_id IS 'Trace during which it was logged, as in spans; null where there was none.';
COMMENT ON COLUMN timespan.log_records.span_id IS 'Span during which it was logged, as in spans; null where there was none.';
COMMENT ON COLUMN timespan.log_records.resource_id IS 'What emitted the record: see timespan.resources.';
COMMENT ON COLUMN timespan.log_records.pattern_id IS 'What the logs of one statement share: see timespan.log_patterns.';
COMMENT ON COLUMN timespan.log_records.source_offset IS 'Offset of the Kafka record the row came from.';
COMMENT ON COLUMN timespan.log_records.source_index IS 'Position of the log record within that Kafka record, from 0.';
COMMENT ON COLUMN timespan.log_records.source_id IS 'Topic and partition of that Kafka record: see timespan.ingest_offsets.';
COMMENT ON COLUMN timespan.log_records.severity_number IS 'OpenTelemetry severity, 1 to 24: 5 DEBUG, 9 INFO, 13 WARN, 17 ERROR.';
COMMENT ON COLUMN timespan.log_records.severity_text IS 'The level in the words of the client.';
COMMENT ON COLUMN timespan.log_records.service_name IS 'Name of the service (OpenTelemetry service.name).';
COMMENT ON COLUMN timespan.log_records.environment IS 'Environment (OpenTelemetry deployment.environment.name).';
COMMENT ON COLUMN timespan.log_records.body IS 'The message.';
COMMENT ON COLUMN timespan.log_records.attributes IS 'Everything else the event carried: its labels and unknown fields.';

-- "What did this service log lately".
CREATE INDEX log_records_service_time ON timespan.log_records (service_name, time DESC);
-- "Show me the logs of this trace", while they are not yet in the columnstore.
CREATE INDEX log_records_trace ON timespan.log_records (trace_id) WHERE trace_id IS NOT NULL;
-- The log list has a time window but often no service: the newest rows of a window, whoever wrote them.
CREATE INDEX log_records_time ON timespan.log_records (time DESC);
-- "The errors of this service", and how many.
CREATE INDEX log_records_service_errors ON timespan.log_records (service_name, time DESC) WHERE severity_number >= 17;
-- The errors among them: what the live channel replays to a client that comes back. One row in many is an error.
CREATE INDEX log_records_error_time ON timespan.log_records (time DESC) WHERE severity_number >= 17;

CREATE TABLE timespan.trace_locator (
  first_time timestamptz NOT NULL,
  last_time  timestamptz NOT NULL,
  trace_id   uuid        NOT NULL
);
COMMENT ON COLUMN timespan.trace_locator.first_time IS 'Earliest start of a span, or time of a log, of this trace in one batch.';
COMMENT ON COLUMN timespan.trace_locator.last_time IS 'Latest such time in the same batch.';
COMMENT ON COLUMN timespan.trace_locator.trace_id IS 'The trace, as in spans.';
CREATE INDEX trace_locator_trace ON timespan.trace_locator (trace_id);

CREATE TABLE timespan.resources (
  resource_id bigint PRIMARY KEY,
  attributes  jsonb       NOT NULL,
  first_seen  timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE timespan.resources IS 'What emits signals: one row a distinct set of resource attributes.';
COMMENT ON COLUMN timespan.resources.resource_id IS 'First 8 bytes of the SHA-256 of the attributes with sorted keys.';
COMMENT ON COLUMN timespan.resources.attributes IS 'OpenTelemetry resource attributes.';
COMMENT ON COLUMN timespan.resources.first_seen IS 'When a signal of this resource was first stored.';

CREATE TABLE timespan.log_patterns (
  pattern_id bigint PRIMARY KEY,
  pattern    text        NOT NULL,
  first_seen timestamptz NOT NULL DEFAULT now(),
  last_seen  timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE timespan.log_patterns IS 'What the logs of one statement have in common: their bodies with the values taken out.';
COMMENT ON COLUMN timespan.log_patterns.pattern_id IS 'First 8 bytes of the SHA-256 of the pattern.';
COMMENT ON COLUMN timespan.log_patterns.pattern IS 'First line of the body, with <*> for each quoted text, uuid, hex string and number, and … where more followed; other where a service had too many.';
COMMENT ON COLUMN timespan.log_patterns.first_seen IS 'When a log of this pattern was first stored.';
COMMENT ON COLUMN timespan.log_patterns.last_seen IS 'When one was last stored, to a day.';

CREATE TABLE timespan.ingest_offsets (
  topic             text        NOT NULL,
  partition         integer     NOT NULL,
  source_id         smallint    NOT NULL UNIQUE GENERATED BY DEFAULT AS IDENTITY,
  next_offset       bigint      NOT NULL,
  high_watermark    bigint,
  row_count         bigint      NOT NULL DEFAULT 0,
  dead_letter_count bigint      NOT NULL DEFAULT 0,
  written_at        timestamptz,
  observed_at       timestamptz,
  behind_since      timestamptz,
  PRIMARY KEY (topic, partition)
) WITH (fillfactor = 50);
COMMENT ON TABLE timespan.ingest_offsets IS 'How far each partition is stored. Moves in the same transaction as the rows, which is what makes a record count once.';
COMMENT ON COLUMN timespan.ingest_offsets.topic IS 'Kafka topic.';
COMMENT ON COLUMN timespan.ingest_offsets.partition IS 'Partition of the topic.';
COMMENT ON COLUMN timespan.ingest_offsets.source_id IS 'Short name of the partition in the rows. A topic that was made anew gets a new one, as its offsets begin again.';
COMMENT ON COLUMN timespan.ingest_offsets.next_offset IS 'The first offset that is not yet stored.';
COMMENT ON COLUMN timespan.ingest_offsets.high_watermark IS 'End of the partition when the stream-processor last looked.';
COMMENT ON COLUMN timespan.ingest_offsets.row_count IS 'Rows stored from this partition.';
COMMENT ON COLUMN timespan.ingest_offsets.dead_letter_count IS 'Dead letters stored from this partition.';
COMMENT ON COLUMN timespan.ingest_offsets.written_at IS 'When rows or dead letters were last stored.';
COMMENT ON COLUMN timespan.ingest_offsets.observed_at IS 'When the stream-processor last looked at the end of the partition.';

COMMENT ON COLUMN timespan.ingest_offsets.behind_since IS 'Since when records of the partition wait that were seen and not yet stored; null where none does.';

CREATE TABLE timespan.dead_letters (
  dead_letter_id bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
  received_at    timestamptz NOT NULL DEFAULT now(),
  replayed_at    timestamptz,
  discarded_at   timestamptz,
  topic          text        NOT NULL,
  partition      integer     NOT NULL,
  source_offset  bigint      NOT NULL,
  source_index   integer     NOT NULL,
  reason         text        NOT NULL,
  detail         text        NOT NULL,
  payload        bytea
);
COMMENT ON TABLE timespan.dead_letters IS 'Records that could not become rows, with the bytes that were received.';
COMMENT ON COLUMN timespan.dead_letters.dead_letter_id IS 'Number of the dead letter.';
COMMENT ON COLUMN timespan.dead_letters.received_at IS 'When it was stored here.';
COMMENT ON COLUMN timespan.dead_letters.replayed_at IS 'When its payload was sent to its topic again; null where it was not. If it failed again, there is a newer dead letter.';
COMMENT ON COLUMN timespan.dead_letters.discarded_at IS 'When a person gave it up; null where nobody did.';
COMMENT ON COLUMN timespan.dead_letters.topic IS 'Kafka topic it came from.';
COMMENT ON COLUMN timespan.dead_letters.partition IS 'Partition it came from.';
COMMENT ON COLUMN timespan.dead_letters.source_offset IS 'Offset of the Kafka record.';
COMMENT ON COLUMN timespan.dead_letters.source_index IS 'Position within that record, from 0.';
COMMENT ON COLUMN timespan.dead_letters.reason IS 'Why, as a stable code.';
COMMENT ON COLUMN timespan.dead_letters.detail IS 'Why, as a sentence.';
COMMENT ON COLUMN timespan.dead_letters.payload IS 'The value of the Kafka record, masked where masking is on; null where it had none, or could not be masked.';
-- Retention, and "what was rejected since": dead-letters with --since.
CREATE INDEX dead_letters_received ON timespan.dead_letters (received_at);
-- "What waits for somebody to replay or discard it", oldest first: it stays small where people do.
CREATE INDEX dead_letters_waiting ON timespan.dead_letters (dead_letter_id)
  WHERE replayed_at IS NULL AND discarded_at IS NULL;

CREATE TABLE timespan.storage_settings (
  name            text        NOT NULL,
  environment     text,
  length          interval    NOT NULL CHECK (length > INTERVAL '0'),
  deleted_through timestamptz,
  UNIQUE NULLS NOT DISTINCT (name, environment)
);
COMMENT ON TABLE timespan.storage_settings IS 'How long things are kept and how they are cut. The stream-processor writes its settings here when it starts; maintain_storage applies them.';
COMMENT ON COLUMN timespan.storage_settings.name IS 'retention_spans, retention_logs, retention_rollup_1m, retention_rollup_1h, retention_dead_letters or chunk_interval.';
COMMENT ON COLUMN timespan.storage_settings.environment IS 'The environment whose rows are kept for a shorter time, as environment_key writes it; null where it holds for all.';
COMMENT ON COLUMN timespan.storage_settings.length IS 'The length of time: days and seconds, no months.';
COMMENT ON COLUMN timespan.storage_settings.deleted_through IS 'Rows of the environment before this time have been deleted; null where none were yet.';
INSERT INTO timespan.storage_settings (name, length) VALUES
  ('retention_spans', '7 days'),
  ('retention_logs', '7 days'),
  ('retention_rollup_1m', '30 days'),
  ('retention_rollup_1h', '400 days'),
  ('retention_dead_letters', '30 days'),
  ('chunk_interval', '6 hours');

CREATE FUNCTION timespan.storage_setting(setting_name text) RETURNS interval
LANGUAGE sql STABLE
RETURN (SELECT length FROM timespan.storage_settings WHERE name = setting_name AND environment IS NULL);
COMMENT ON FUNCTION timespan.storage_setting(text) IS 'The setting that holds for all environments; null where it is not set.';

CREATE FUNCTION timespan.shortest_retention(setting_name text) RETURNS interval
LANGUAGE sql STABLE
RETURN (SELECT min(length) FROM timespan.storage_settings WHERE name = setting_name);
COMMENT ON FUNCTION timespan.shortest_retention(text) IS 'How long rows of every environment are there: what rolls them up must look no further back.';

CREATE FUNCTION timespan.environment_key(environment text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN lower(regexp_replace(environment, '[^[:alnum:]]+', '_', 'g'));
COMMENT ON FUNCTION timespan.environment_key(text) IS 'An environment as the name of a variable can hold it, in lower case: Load-Test 2 is load_test_2.';

CREATE FUNCTION timespan.retention_of(setting_name text, row_environment text) RETURNS interval
LANGUAGE sql STABLE
RETURN (
  SELECT min(length)
  FROM timespan.storage_settings
  WHERE name = setting_name
    AND (environment IS NULL OR environment = timespan.environment_key(row_environment))
);
COMMENT ON FUNCTION timespan.retention_of(text, text) IS 'How long rows of an environment are kept.';

GRANT INSERT ON timespan.dead_letters TO timespan_writer;
GRANT SELECT, INSERT ON timespan.resources TO timespan_writer;
GRANT SELECT, INSERT, UPDATE (last_seen) ON timespan.log_patterns TO timespan_writer;
GRANT SELECT, INSERT, UPDATE ON timespan.ingest_offsets TO timespan_writer;
GRANT SELECT, INSERT, UPDATE, DELETE ON timespan.storage_settings TO timespan_writer;
GRANT SELECT ON timespan.resources, timespan.log_patterns, timespan.ingest_offsets, timespan.dead_letters, timespan.storage_settings TO timespan_reader;

RESET ROLE;
