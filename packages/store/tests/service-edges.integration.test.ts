/** The service map's edges: what is one, that both engines agree on every bin, and that late spans change them. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { FULL_ACCESS } from "@timespan/telemetry/access";
import { decodeSpanEvent } from "@timespan/telemetry/wire/decode-span-event";
import { spanEvent, uniqueName } from "@timespan/testing/events";
import { TestBatch } from "@timespan/testing/test-batch";
import {
  applyStorage,
  createTestDatabase,
  openAsSuperuser,
  type TestDatabase,
} from "@timespan/testing/test-database";
import { testEngines } from "@timespan/testing/test-environment";
import type { SpanEvent } from "@timespan/testing/workload/events";
import { createShop } from "@timespan/testing/workload/shop";
import { closeDatabase, type Database, openDatabase } from "../src/database.ts";
import { openPartition } from "../src/ingest/open-partition.ts";
import { writeBatch } from "../src/ingest/write-batch.ts";
import { readEdges } from "../src/service-map/read-edges.ts";
import { readServiceMap } from "../src/service-map/read-service-map.ts";
import { maintainRollups } from "../src/storage/maintain-rollups.ts";
import { moveLateRows } from "../src/storage/move-late-rows.ts";

const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const HOUR_START_MS = Math.floor(Date.now() / HOUR_MS) * HOUR_MS;
/** A window over the end of an hour, all of it past what is still being refreshed. */
const FROM_MS = HOUR_START_MS - 4 * HOUR_MS - 15 * MINUTE_MS;
const TO_MS = FROM_MS + 25 * MINUTE_MS;
const WINDOW = { fromUs: FROM_MS * 1_000, toUs: TO_MS * 1_000 };
const NO_ROLLUPS = { enabled: false, thresholdMs: 0, storedUntilUs: { service: {}, endpoint: {} } };

/** By engine: every bin of every edge, to hold the other against. */
const seen = new Map<string, unknown>();

for (const { engine, present } of testEngines()) {
  describe.skipIf(!present)(`service edges on ${engine}`, () => {
    let created: TestDatabase;
    let writer: Database;
    let all: Database;

    beforeAll(async () => {
      created = await createTestDatabase(engine);
      writer = openDatabase({
        url: created.url,
        role: "timespan_writer",
        applicationName: "test",
        poolMax: 2,
        statementTimeoutMs: 60_000,
      });
      all = openAsSuperuser(created.url);
      await applyStorage(writer);
      await maintainRollups(writer, {
        lateAfterMs: 30 * MINUTE_MS,
        refreshIntervalMs: 30_000,
        refreshDelayMs: MINUTE_MS,
      });
      if (engine === "timescaledb") {
        // The scheduler must not run beside the test, and stragglers are taken at once.
        await all`
          SELECT alter_job(job_id, scheduled => false, config => CASE proc_name
            WHEN 'refresh_service_edges' THEN config || '{"again_after": "0 s"}' ELSE config END)
          FROM timescaledb_information.jobs WHERE job_id >= 1000`;
      }
    });
    afterAll(async () => {
      await Promise.all([closeDatabase(writer), closeDatabase(all)]);
      await created.drop();
    });

    async function runJob(procedure: string): Promise<void> {
      const [job] = await all<{ job_id: number }[]>`
        SELECT job_id FROM timescaledb_information.jobs WHERE proc_name = ${procedure}`;
      await all`CALL run_job(${job?.job_id ?? 0})`;
    }
    async function derive(): Promise<void> {
      if (engine !== "timescaledb") return;
      await runJob("refresh_rollups");
      await runJob("refresh_service_edges");
    }

    async function store(events: readonly SpanEvent[], lateBeforeMs = 0): Promise<void> {
      const topic = uniqueName("topic");
      const { sourceId } = await openPartition(writer, topic, 0, { low: 0, high: events.length });
      await writeBatch(
        writer,
        new TestBatch({
          topic,
          partition: 0,
          sourceId,
          startOffset: 0,
          endOffset: events.length,
          lateBeforeUs: lateBeforeMs * 1_000,
          spans: events.map((event, offset) => {
            const decoded = decodeSpanEvent(Buffer.from(JSON.stringify(event)), 0);
            if (!decoded.ok) throw new Error(decoded.rejection.detail);
            return { span: decoded.value, source: { offset, index: 0 } };
          }),
          logs: [],
        }),
      );
    }

    const bins = (level: "1m" | "1h", service = "%") =>
      all.unsafe(
        `SELECT * FROM timespan.service_edge_latency_bins_${level} WHERE service_name LIKE $1
         ORDER BY bucket, service_name, environment, target_name, target_type, duration_bin`,
        [service],
      );
    /** Edges from `service`, as `target type calls errors`. */
    const edgesOf = async (service: string) =>
      (
        await all`
          SELECT target_name, target_type, sum(call_count) AS calls, sum(error_count) AS errors
          FROM apm.service_edges_1m WHERE service_name = ${service} GROUP BY 1, 2 ORDER BY 1, 2`
      ).map((row) => `${row.target_name} ${row.target_type} ${row.calls} ${row.errors}`);

    /** A call at `atMs`: the caller's span, and on request the answer of another service. */
    function call(
      from: string,
      atMs: number,
      kind: SpanEvent["kind"],
      labels: Record<string, string>,
      answer?: { service: string; kind: SpanEvent["kind"]; afterMs?: number; status?: SpanEvent["status"] },
    ): SpanEvent[] {
      const caller = spanEvent({
        service_name: from,
        timestamp: new Date(atMs).toISOString(),
        kind,
        labels,
        duration_ms: 20,
      });
      if (answer === undefined) return [caller];
      const child = spanEvent({
        service_name: answer.service,
        timestamp: new Date(atMs + (answer.afterMs ?? 1)).toISOString(),
        trace_id: caller.trace_id,
        parent_span_id: caller.span_id,
        kind: answer.kind,
        status: answer.status ?? "OK",
        duration_ms: 10,
      });
      return [child, caller];
    }

    test("every bin of a shop's edges is the same on both engines, by the minute and by the hour", async () => {
      const shop = createShop({ seed: 6, tracesPerSecond: 2 });
      const spans = shop.startTimes(FROM_MS, TO_MS).flatMap((startMs) => shop.trace(startMs).spans);
      await store(spans.filter(({ timestamp = "" }) => Date.parse(timestamp) < Date.now() - HOUR_MS));
      await derive();
      const rows = { minutes: [...(await bins("1m"))], hours: [...(await bins("1h"))] };
      expect(rows.minutes.length).toBeGreaterThan(1_000);
      const types = new Set(rows.minutes.map(({ target_type }) => target_type));
      expect([...types].sort()).toEqual(["database", "external", "service"]);
      for (const other of seen.values()) expect(rows).toEqual(other as typeof rows);
      seen.set(engine, rows);
    });

    test("the map of a window is what its minutes add up to, wherever hours are read instead", async () => {
      const { edges, targets, truncated } = await readEdges(all, FULL_ACCESS, { window: WINDOW });
      expect(truncated).toBe(false);
      const expected = await all`
        SELECT service_name, target_name, sum(call_count) AS calls, sum(error_count) AS errors
        FROM timespan.service_edge_latency_bins_1m
        WHERE bucket >= to_timestamp(${FROM_MS / 1_000}) AND bucket < to_timestamp(${TO_MS / 1_000})
        GROUP BY 1, 2 ORDER BY 1, 2`;
      const found = edges.map((edge) => ({
        service_name: edge.source.split(":")[1],
        target_name: edge.target.split(":")[1],
        calls: edge.call_count,
        errors: edge.error_count,
      }));
      const byName = (a: { service_name: string | undefined; target_name: string | undefined }) =>
        `${a.service_name}>${a.target_name}`;
      expect<unknown[]>(found.toSorted((a, b) => (byName(a) < byName(b) ? -1 : 1))).toEqual([...expected]);
      const inMap = (id: string) =>
        edges.filter(({ target }) => target === id).reduce((sum, edge) => sum + edge.call_count, 0);
      for (const { id, call_count } of targets) expect(call_count).toBe(inMap(id));
    });

    test("who answers names the target, else the caller does; only a call within ten seconds is one", async () => {
      const [shopFront, orders] = [uniqueName("front"), uniqueName("orders")];
      const at = FROM_MS + 3 * MINUTE_MS;
      const server = { service: orders, kind: "SERVER" } as const;
      await store([
        ...call(shopFront, at, "CLIENT", { "peer.service": "a-name-of-mine" }, server),
        ...call(shopFront, at, "CLIENT", {}, { ...server, status: "ERROR" }),
        // Instrumented on one side only: whoever it is that is the parent.
        ...call(shopFront, at, "SERVER", {}, server),
        // Over the end of a minute, and the clock of the other side is behind.
        ...call(shopFront, at + MINUTE_MS - 1, "CLIENT", {}, { ...server, afterMs: 5 * SECOND_MS }),
        ...call(shopFront, at + MINUTE_MS, "CLIENT", {}, { ...server, afterMs: -2 * SECOND_MS }),
        // Too far apart to be looked for: the caller's word counts, as for a call nobody answered.
        ...call(
          shopFront,
          at,
          "PRODUCER",
          { "messaging.destination.name": "events" },
          { service: orders, kind: "CONSUMER", afterMs: 11 * SECOND_MS },
        ),
        ...call(shopFront, at, "CLIENT", { "db.system": "postgresql", "db.name": "shop" }),
        ...call(shopFront, at, "CLIENT", { "server.address": "api.example.org" }),
        ...call(shopFront, at, "CLIENT", {}),
        ...call(shopFront, at, "INTERNAL", { "peer.service": "nobody" }),
        // A local child is no answer.
        ...call(
          shopFront,
          at,
          "CLIENT",
          { "server.address": "api.example.org" },
          { service: shopFront, kind: "SERVER" },
        ),
      ]);
      await derive();
      expect(await edgesOf(shopFront)).toEqual([
        "api.example.org external 2 0",
        "events queue 1 0",
        `${orders} service 5 1`,
        "shop database 1 0",
      ]);
    });

    test("spans that come late change the minutes they belong to and those beside them; a repeated run changes nothing", async () => {
      const [caller, callee] = [uniqueName("late"), uniqueName("callee")];
      const events = [5, 6, 7, 65, 90].flatMap((minutes) =>
        call(
          caller,
          FROM_MS + minutes * MINUTE_MS + 59_500,
          "CLIENT",
          { "server.address": "stranger" },
          {
            service: callee,
            kind: "SERVER",
            afterMs: 700,
          },
        ),
      );
      await store(events.filter(({ service_name }) => service_name === caller));
      await derive();
      expect(await edgesOf(caller)).toEqual(["stranger external 5 0"]);
      await store(
        events.filter(({ service_name }) => service_name === callee),
        Date.now() - 30 * MINUTE_MS,
      );
      await moveLateRows(writer);
      await derive();
      expect(await edgesOf(caller)).toEqual([`${callee} service 5 0`]);
      const before = [...(await bins("1h")), ...(await bins("1m"))];
      await derive();
      expect([...(await bins("1h")), ...(await bins("1m"))]).toEqual(before);
    });

    if (engine === "timescaledb") {
      test("the job goes on where it was ended, and two of it at once derive each minute once", async () => {
        const before = [...(await bins("1m"))];
        await all`DELETE FROM timespan.service_edge_minutes WHERE random() < 0.7`;
        await Promise.all(
          [runJob("refresh_service_edges"), runJob("refresh_service_edges")].map((run) =>
            run.catch(() => {}),
          ),
        );
        await derive();
        expect([...(await bins("1m"))]).toEqual(before);
        const [stale] = await all`SELECT count(*)::int FROM timespan.stale_service_edge_minutes(1000, '0 s')`;
        expect(stale?.count).toBe(0);
      });
    }

    test("services that call nobody are nodes too, and only what the caller may see is in the map", async () => {
      const [loner, staging] = [uniqueName("loner"), uniqueName("staging")];
      const at = FROM_MS + 10 * MINUTE_MS;
      await store([
        spanEvent({ service_name: loner, timestamp: new Date(at).toISOString(), kind: "INTERNAL" }),
        ...call(staging, at, "CLIENT", { "server.address": "hidden.example.org" }).map((event) => ({
          ...event,
          environment: "staging",
        })),
      ]);
      await derive();
      const map = (access = FULL_ACCESS) => readServiceMap(all, access, NO_ROLLUPS, { window: WINDOW });
      const whole = await map();
      expect(whole.nodes.find(({ name }) => name === loner)).toEqual({
        id: `service:${loner}`,
        name: loner,
        type: "service",
        call_count: 0,
        error_count: 0,
        error_rate: 0,
        latency_p50_ms: null,
        latency_p95_ms: null,
        health: null,
      });
      expect(whole.edges.map(({ target }) => target)).toContain("external:hidden.example.org");
      const ends = new Set(whole.nodes.map(({ id }) => id));
      for (const { source, target } of whole.edges) {
        expect(ends.has(source)).toBe(true);
        expect(ends.has(target)).toBe(true);
      }
      const limited = await map({ environments: ["production"], services: null });
      expect(JSON.stringify(limited)).not.toContain("hidden.example.org");
      const oneService = await map({ environments: null, services: [staging] });
      expect(oneService.edges).toHaveLength(1);
      expect(oneService.nodes.map(({ name }) => name).sort()).toEqual(["hidden.example.org", staging].sort());
    });

    test("upstream and downstream follow edges, and Grafana's node graph has every end of an edge", async () => {
      const names = [0, 1, 2].map((index) => uniqueName(`chain${index}`)) as [string, string, string];
      const at = FROM_MS + 12 * MINUTE_MS;
      await store([
        ...call(names[0], at, "CLIENT", {}, { service: names[1], kind: "SERVER" }),
        ...call(names[1], at, "CLIENT", {}, { service: names[2], kind: "SERVER" }),
        ...call(names[2], at, "CLIENT", {}, { service: names[0], kind: "SERVER" }),
        ...call(names[2], at, "CLIENT", { "db.system": "redis" }),
      ]);
      await derive();
      const range = [new Date(FROM_MS), new Date(TO_MS)] as const;
      const down =
        await all`SELECT depth, name, type FROM apm.downstream(${names[0]}, ${range[0]}, ${range[1]}) ORDER BY depth, name`;
      expect<unknown[]>([...down]).toEqual([
        { depth: 1, name: names[1], type: "service" },
        { depth: 2, name: names[2], type: "service" },
        { depth: 3, name: "redis", type: "database" },
      ]);
      const up =
        await all`SELECT depth, name, path FROM apm.upstream(${names[1]}, ${range[0]}, ${range[1]}) ORDER BY depth`;
      expect<unknown[]>([...up]).toEqual([
        { depth: 1, name: names[0], path: [names[0], names[1]] },
        { depth: 2, name: names[2], path: [names[2], names[0], names[1]] },
      ]);
      const nodes = await all`SELECT * FROM apm.grafana_nodes(${range[0]}, ${range[1]})`;
      const edges = await all`SELECT * FROM apm.grafana_edges(${range[0]}, ${range[1]})`;
      const ids = new Set(nodes.map(({ id }) => id));
      expect(ids.size).toBe(nodes.length);
      expect(new Set(edges.map(({ id }) => id)).size).toBe(edges.length);
      for (const { source, target } of edges)
        expect([ids.has(source), ids.has(target)]).toEqual([true, true]);
      expect(Object.keys(edges[0] ?? {}).slice(0, 5)).toEqual([
        "id",
        "source",
        "target",
        "mainstat",
        "secondarystat",
      ]);
      for (const node of nodes) expect(node.arc__ok + node.arc__errors).toBeCloseTo(1, 9);
    });

    test("where everybody calls everybody, each service is reached once, by a shortest way", async () => {
      const names = Array.from({ length: 12 }, (_, index) =>
        uniqueName(`mesh${String(index).padStart(2, "0")}`),
      );
      const at = FROM_MS + 13 * MINUTE_MS;
      const [first = "", second = "", , , , , , , , , , last = ""] = names;
      const outside = uniqueName("outside");
      await store([
        ...names.flatMap((from) =>
          names
            .filter((to) => to !== from)
            .flatMap((to) => call(from, at, "CLIENT", {}, { service: to, kind: "SERVER" })),
        ),
        ...call(last, at, "CLIENT", {}, { service: outside, kind: "SERVER" }),
      ]);
      await derive();
      const range = [new Date(FROM_MS), new Date(TO_MS)] as const;
      const down =
        await all`SELECT * FROM apm.downstream(${first}, ${range[0]}, ${range[1]}) ORDER BY depth, name`;
      expect(down.map(({ depth }) => depth)).toEqual([...names.slice(1).map(() => 1), 2]);
      expect(down.at(-1)).toMatchObject({ name: outside, path: [first, last, outside] });
      const up =
        await all`SELECT * FROM apm.upstream(${outside}, ${range[0]}, ${range[1]}) ORDER BY depth, name`;
      expect(up.length).toBe(names.length);
      expect(up.find(({ name }) => name === second)).toMatchObject({
        depth: 2,
        path: [second, last, outside],
      });
    });

    test("health is said above ten calls only, by the share of errors", async () => {
      const [caller, callee] = [uniqueName("sick"), uniqueName("sicker")];
      const at = FROM_MS + 14 * MINUTE_MS;
      const calls = (count: number, errors: number, kind: string) =>
        Array.from({ length: count }, (_, index) =>
          call(
            `${caller}-${kind}`,
            at,
            "CLIENT",
            {},
            {
              service: callee,
              kind: "SERVER",
              status: index < errors ? "ERROR" : "OK",
            },
          ),
        ).flat();
      await store([
        ...calls(10, 10, "few"),
        ...calls(20, 3, "critical"),
        ...calls(20, 2, "warning"),
        ...calls(50, 1, "watch"),
        ...calls(20, 0, "healthy"),
      ]);
      await derive();
      const rows = await all`
        SELECT service_name, health FROM apm.dependency_health WHERE target_name = ${callee} ORDER BY 1`;
      expect(rows.map((row) => `${row.service_name.split("-").at(-1)} ${row.health}`)).toEqual([
        "critical CRITICAL",
        "healthy HEALTHY",
        "warning WARNING",
        "watch WATCH",
      ]);
    });
  });
}
