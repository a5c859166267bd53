import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createGuards, type Guards, NO_GUARDS } from "@timespan/telemetry/guards";
import type { Decoded } from "@timespan/telemetry/rejection";
import { decodeLogEvent } from "@timespan/telemetry/wire/decode-log-event";
import { decodeSpanEvent } from "@timespan/telemetry/wire/decode-span-event";
import { decodeLogsExport } from "@timespan/telemetry/wire/otlp/decode-logs-export";
import { decodeTraceExport } from "@timespan/telemetry/wire/otlp/decode-trace-export";
import { pickSpans } from "@timespan/telemetry/wire/otlp/pick-items";
import { logEvent, randomHex, spanEvent, uniqueName } from "@timespan/testing/events";
import { TestBatch, type TestBatchParts } from "@timespan/testing/test-batch";
import { createTestDatabase, openAsSuperuser, type TestDatabase } from "@timespan/testing/test-database";
import { testEngines } from "@timespan/testing/test-environment";
import { closeDatabase, type Database, openDatabase } from "../src/database.ts";
import type { DeadLetter } from "../src/ingest/batch.ts";
import { openPartition } from "../src/ingest/open-partition.ts";
import { writeBatch } from "../src/ingest/write-batch.ts";

/** A batch in which everything that masking should reach holds `marker`, under keys that `guards` mask or do not. */
function batchWith(
  marker: string,
  guards: Guards,
): Pick<TestBatchParts, "spans" | "logs" | "deadLetters" | "deadLetter"> {
  const secrets = {
    password: marker,
    "user.id": marker,
    user: { id: marker },
    patient: { id: marker, history: [{ note: marker }] },
    headers: [{ key: "password", value: marker }],
    "peer.service": marker,
    "http.route": `/patients/${marker}`,
    "error.message": marker,
  };
  const bytes = (value: unknown) => Buffer.from(JSON.stringify(value));
  const anyValue = (value: unknown): object => {
    if (typeof value === "string") return { stringValue: value };
    if (Array.isArray(value)) return { arrayValue: { values: value.map(anyValue) } };
    return { kvlistValue: { values: attributesOf(value as object) } };
  };
  const attributesOf = (object: object): object[] =>
    Object.entries(object).map(([key, value]) => ({ key, value: anyValue(value) }));
  const attributes = attributesOf(secrets);
  const now = String(BigInt(Date.now()) * 1_000_000n);
  const resource = { attributes: [...attributes, ...attributesOf({ "service.name": "s" })] };
  const scope = { name: "scope", attributes };
  const otlpSpan = {
    traceId: randomHex(16),
    spanId: randomHex(8),
    name: "GET",
    kind: 3,
    startTimeUnixNano: now,
    endTimeUnixNano: now,
    attributes,
    events: [{ timeUnixNano: now, name: "e", attributes }],
    links: [{ traceId: randomHex(16), spanId: randomHex(8), attributes }],
  };
  const otlpLog = { timeUnixNano: now, severityNumber: 17, body: anyValue(secrets), attributes };
  const traces = { resourceSpans: [{ resource, scopeSpans: [{ scope, spans: [otlpSpan] }] }] };
  const badTraces = {
    resourceSpans: [{ resource, scopeSpans: [{ scope, spans: [otlpSpan, { ...otlpSpan, spanId: "00" }] }] }],
  };
  const logs = { resourceLogs: [{ resource, scopeLogs: [{ scope, logRecords: [otlpLog] }] }] };

  const value = <T>(decoded: Decoded<T>): T => {
    if (!decoded.ok) throw new Error(decoded.rejection.detail);
    return decoded.value;
  };
  const span = value(
    decodeSpanEvent(bytes({ ...spanEvent({ kind: "CLIENT" }), labels: secrets, user: secrets }), 0, guards),
  );
  const spans = [
    span,
    ...value(decodeTraceExport(bytes(traces), 0, guards)).map(value),
    // Refused by the database, which is shown the value.
    { ...span, attributesJson: `{"password": ${marker}` },
  ];
  const logRecords = [
    value(decodeLogEvent(bytes({ ...logEvent(), labels: secrets, patient: secrets }), 0, guards)),
    ...value(decodeLogsExport(bytes(logs), 0, guards)).map(value),
  ];
  const poison: [bytes: Uint8Array, decode: (bytes: Uint8Array) => Decoded<unknown>][] = [
    [
      bytes({ ...spanEvent(), labels: secrets, ...secrets, kind: "nonsense" }),
      (b) => decodeSpanEvent(b, 0, guards),
    ],
    [bytes({ ...logEvent(), labels: secrets, level: secrets }), (b) => decodeLogEvent(b, 0, guards)],
    [bytes({ ...logEvent(), labels: JSON.stringify(secrets) }), (b) => decodeLogEvent(b, 0, guards)],
    [bytes([secrets]), (b) => decodeLogEvent(b, 0, guards)],
    [Buffer.from(`{"password": ${marker}}`), (b) => decodeLogEvent(b, 0, guards)],
    [Buffer.from(`"${marker}"`), (b) => decodeSpanEvent(b, 0, guards)],
    [Buffer.from(`\n\x05${marker}`), (b) => decodeTraceExport(b, 0, guards)],
    [bytes({ resourceSpans: [{ resource, scopeSpans: secrets }] }), (b) => decodeTraceExport(b, 0, guards)],
    [
      pickSpans(bytes(badTraces), new Set([1])) ?? bytes({}),
      () => value(decodeTraceExport(bytes(badTraces), 0, guards))[1] ?? { ok: true, value: null },
    ],
  ];
  const deadLetters = poison.map(([payload, decode], index): DeadLetter => {
    const decoded = decode(payload);
    if (decoded.ok) throw new Error(`poison ${index} is none`);
    return { ...guards.deadLetter(decoded.rejection, payload), source: { offset: 100 + index, index: 0 } };
  });
  return {
    spans: spans.map((each, index) => ({ span: each, source: { offset: index, index: 0 } })),
    logs: logRecords.map((log, index) => ({ log, source: { offset: 50 + index, index: 0 } })),
    deadLetters,
    deadLetter: (rejection, source) => ({
      ...guards.deadLetter(rejection, bytes({ ...spanEvent(), labels: secrets, ...secrets })),
      source,
    }),
  };
}

for (const { engine, present } of testEngines()) {
  describe.skipIf(!present)(`masking on ${engine}`, () => {
    let created: TestDatabase;
    let writer: Database;
    let all: Database;

    beforeAll(async () => {
      created = await createTestDatabase(engine);
      all = openAsSuperuser(created.url);
      writer = openDatabase({
        url: created.url,
        role: "timespan_writer",
        applicationName: "test",
        poolMax: 2,
        statementTimeoutMs: 30_000,
      });
    });
    afterAll(async () => {
      await Promise.all([closeDatabase(writer), closeDatabase(all)]);
      await created.drop();
    });

    async function store(marker: string, guards: Guards, lateBeforeUs: number) {
      const topic = uniqueName("topic");
      const { sourceId } = await openPartition(writer, topic, 0, { low: 0, high: 1_000 });
      const batch = new TestBatch({
        topic,
        partition: 0,
        sourceId,
        startOffset: 0,
        endOffset: 1_000,
        lateBeforeUs,
        ...batchWith(marker, guards),
      });
      const outcome = await writeBatch(writer, batch);
      expect(outcome).toMatchObject({ outcome: "written", rowCount: 4 });
      return topic;
    }

    /** The tables and views of ours in which `marker` stands somewhere, as text or in bytes. */
    async function placesOf(marker: string): Promise<string[]> {
      const tables = await all<{ name: string }[]>`
        SELECT format('%I.%I', n.nspname, c.relname) AS name
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname IN ('timespan', 'apm') AND c.relkind IN ('r', 'p', 'v', 'm') AND NOT c.relispartition
        ORDER BY 1`;
      expect(tables.length).toBeGreaterThan(8);
      const hex = Buffer.from(marker).toString("hex");
      const places: string[] = [];
      for (const { name } of tables) {
        const [row] = await all.unsafe(
          `SELECT count(*)::int AS count FROM ${name} AS row
           WHERE row::text ILIKE '%${marker}%' OR row::text ILIKE '%${hex}%'`,
        );
        if (row?.count > 0) places.push(name);
      }
      return places;
    }

    test("of values under masked keys nothing is stored anywhere, nor of payloads that cannot be masked", async () => {
      const marker = `S3CR3T${randomHex(8)}`;
      const guards = createGuards(
        {
          hashKeys: ["user.id", "Peer.Service"],
          dropKeys: ["password", "patient.*", "http.route", "error.message"],
          hashSecret: "a secret of the tests",
          endpointsPerServiceMax: 200,
          logPatternsPerServiceMax: 1_000,
        },
        { nowMs: Date.now },
      );
      const topics = [
        await store(marker, guards, Number.NEGATIVE_INFINITY),
        await store(marker, guards, Number.POSITIVE_INFINITY),
      ];
      expect(await placesOf(marker)).toEqual([]);
      const letters = await all`
        SELECT reason, detail, payload IS NULL AS withheld FROM timespan.dead_letters
        WHERE topic = ${topics[0] ?? ""} ORDER BY source_offset`;
      expect(letters.map(({ reason, withheld }) => `${reason}${withheld ? " withheld" : ""}`)).toEqual([
        "refused_by_database",
        "invalid_event",
        "invalid_event",
        "invalid_event",
        "invalid_event",
        "malformed_json withheld",
        "invalid_event withheld",
        "malformed_protobuf withheld",
        "invalid_event",
        "invalid_event",
      ]);
      for (const { detail, withheld } of letters) {
        expect(detail.includes("payload withheld because masking is on and it could not be parsed")).toBe(
          withheld,
        );
      }
      const [row] =
        await all`SELECT peer_service FROM timespan.spans WHERE peer_service LIKE 'hmac:%' LIMIT 1`;
      expect(row).toBeDefined();
    });

    test("without masking the same values are found, so the search for them can find", async () => {
      const marker = `S3CR3T${randomHex(8)}`;
      await store(marker, NO_GUARDS, Number.NEGATIVE_INFINITY);
      const places = await placesOf(marker);
      for (const table of ["spans", "log_records", "resources", "dead_letters"]) {
        expect(places).toContain(`timespan.${table}`);
      }
    });
  });
}
