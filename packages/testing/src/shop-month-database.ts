import { closeDatabase, type Database, openDatabase } from "@timespan/store/database";
import { storeEvents } from "./store-events.ts";
import { createTestDatabase, openAsSuperuser, type TestDatabase } from "./test-database.ts";
import type { TestEngine } from "./test-environment.ts";
import { MONTH_NOW, shopMonth } from "./workload/shop-month.ts";

const DAY_MS = 86_400_000;
const EVENTS_PER_BATCH = 20_000;

/**
 * A database of its own that holds {@link shopMonth}: what the cookbook is asked of. Its rollups are not refreshed, so
 * they answer from raw rows, as they do for the newest. Service edges are derived, as nothing else answers for them.
 */
export async function createShopMonthDatabase(engine: TestEngine): Promise<TestDatabase> {
  const created = await createTestDatabase(engine);
  const all = openAsSuperuser(created.url);
  const writer = openDatabase({
    url: created.url,
    role: "timespan_writer",
    applicationName: "timespan tests",
    poolMax: 1,
    statementTimeoutMs: 120_000,
  });
  try {
    // The month is over, whatever today is: retention would drop it, and no partition would take it.
    if (engine === "timescaledb") {
      // Thin rows over a month: chunks for as much, or there would be a thousand of a few rows each.
      await all`
        SELECT public.set_chunk_time_interval(format('%I.%I', hypertable_schema, hypertable_name)::regclass, INTERVAL '1 day')
        FROM timescaledb_information.dimensions WHERE hypertable_schema IN ('timespan', '_timescaledb_internal')`;
      await all`
        SELECT public.delete_job(job_id) FROM timescaledb_information.jobs WHERE proc_name = 'policy_retention'`;
    } else {
      for (let day = -31; day <= 1; day++) await createPartitions(all, Date.parse(MONTH_NOW) + day * DAY_MS);
    }
    const { spans, logs } = shopMonth();
    const events = [...spans, ...logs];
    for (let from = 0; from < events.length; from += EVENTS_PER_BATCH) {
      await storeEvents(writer, "shop-month", events.slice(from, from + EVENTS_PER_BATCH));
    }
    await all`ANALYZE`;
    // By the statement of the job, over all minutes at once: each by itself, as the job does it, they take minutes.
    if (engine === "timescaledb") {
      await all`
        INSERT INTO timespan.derived_service_edges_1m
        SELECT * FROM timespan.service_calls(${MONTH_NOW}::timestamptz - INTERVAL '31 days', ${MONTH_NOW}::timestamptz + INTERVAL '1 day')`;
      await all`ANALYZE timespan.derived_service_edges_1m`;
    }
    return created;
  } catch (error) {
    await created.drop();
    throw error;
  } finally {
    await Promise.all([closeDatabase(all), closeDatabase(writer)]);
  }
}

async function createPartitions(database: Database, dayMs: number): Promise<void> {
  const day = new Date(dayMs).toISOString().slice(0, 10);
  const next = new Date(dayMs + DAY_MS).toISOString().slice(0, 10);
  for (const table of ["spans", "log_records", "trace_locator"]) {
    await database.unsafe(`
      SET LOCAL ROLE timespan_owner;
      CREATE TABLE IF NOT EXISTS timespan.${table}_${day.replaceAll("-", "")}
      PARTITION OF timespan.${table} FOR VALUES FROM ('${day} 00:00+00') TO ('${next} 00:00+00')`);
  }
}
