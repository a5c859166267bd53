import { closeDatabase } from "@timespan/store/database";
import { openAsSuperuser } from "@timespan/testing/test-database";
import type { TestEngine } from "@timespan/testing/test-environment";

/**
 * Stores the rollups up to a time, as their policies would: what is later is computed from what lies below when it is
 * asked for. On plain PostgreSQL there is nothing to store.
 */
export async function refreshRollups(url: string, engine: TestEngine, untilMs: number): Promise<void> {
  if (engine !== "timescaledb") return;
  const superuser = openAsSuperuser(url);
  const rollups = await superuser<{ name: string }[]>`
    SELECT format('%I.%I', view_schema, view_name) AS name
    FROM timescaledb_information.continuous_aggregates
    ORDER BY length(materialization_hypertable_name), materialization_hypertable_name`;
  for (const { name } of rollups) {
    await superuser.unsafe(
      `CALL public.refresh_continuous_aggregate('${name}', NULL, '${new Date(untilMs).toISOString()}')`,
    );
  }
  await closeDatabase(superuser);
}
