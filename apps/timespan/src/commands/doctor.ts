import { listOpenRights } from "@timespan/store/analysts/list-open-rights";
import type { Database } from "@timespan/store/database";
import { sqlState } from "@timespan/store/database-error";
import { countDeadLetters } from "@timespan/store/dead-letters/count-dead-letters";
import { countLateRows } from "@timespan/store/doctor/count-late-rows";
import { describeServer, type ServerDescription } from "@timespan/store/doctor/describe-server";
import { listJobs } from "@timespan/store/doctor/list-jobs";
import { listMissingDays } from "@timespan/store/doctor/list-missing-days";
import { listOverdueChunks } from "@timespan/store/doctor/list-overdue-chunks";
import { listPartitionLags } from "@timespan/store/doctor/list-partition-lags";
import { listRoles } from "@timespan/store/doctor/list-roles";
import { listRollupLags } from "@timespan/store/doctor/list-rollup-lags";
import { measureChunkGrowth } from "@timespan/store/doctor/measure-chunk-growth";
import { measurePartitionGrowth } from "@timespan/store/doctor/measure-partition-growth";
import { readSchemaEngine } from "@timespan/store/doctor/read-schema-engine";
import { readServerSettings } from "@timespan/store/doctor/read-server-settings";
import { readSchemaVersion } from "@timespan/store/schema-version";
import type { Finding } from "./doctor-finding.ts";
import { findMachine } from "./doctor-machine.ts";
import { judgeDisk, judgeRights, judgeRoles, judgeServer, judgeSettings } from "./doctor-server.ts";
import {
  judgeChunks,
  judgeDays,
  judgeDeadLetters,
  judgeJobs,
  judgeLateRows,
  judgePartitions,
  judgeRollups,
  judgeSchema,
} from "./doctor-store.ts";

/**
 * Looks at everything that can be known from the database and the machine it runs on. Writes nothing. A check that
 * fails itself is a finding like the others, and hides none of them.
 * @param database read-only, with a limit on its statements
 */
export async function examine(database: Database, databaseUrl: string): Promise<Finding[]> {
  let server: ServerDescription;
  try {
    server = await describeServer(database);
  } catch (error) {
    return [
      {
        check: "database",
        status: "fail",
        detail: `it cannot be asked: ${messageOf(error)}; so nothing else is known`,
        remedy: "Does it run, and does DATABASE_URL name it, its user and its password?",
      },
    ];
  }
  const machine = findMachine(databaseUrl, server);
  // A database that was never migrated still has a server to look at.
  const engine = await readSchemaEngine(database).catch(() => undefined);
  const hasJobs = engine === "timescaledb" && server.timescaledbVersion !== null;
  const jobs = hasJobs ? listJobs(database) : Promise.resolve([]);

  jobs.catch(() => {}); // told below, where they are awaited
  const findings = [...judgeServer(server, engine)];
  const add = async (check: string, judge: () => Promise<Finding | Finding[]>) => {
    findings.push(...[await judge().catch((error) => unanswered(check, error))].flat());
  };
  await add("migrations", async () => judgeSchema(await readSchemaVersion(database)));
  await add("roles", async () => judgeRoles(await listRoles(database)));
  if (engine !== undefined) {
    await add("analyst-rights", async () => judgeRights(await listOpenRights(database)));
  }
  await add("settings", async () =>
    judgeSettings(await readServerSettings(database), {
      memoryBytes: machine?.memoryBytes,
      jobCount: await jobs.then(({ length }) => length).catch(() => 0),
    }),
  );
  if (hasJobs) {
    await add("jobs", async () => judgeJobs(await jobs));
    await add("columnstore", async () => judgeChunks(await listOverdueChunks(database)));
    await add("rollups", async () => judgeRollups(await listRollupLags(database)));
  } else if (engine === "postgres") {
    await add("partitions", async () => judgeDays(await listMissingDays(database)));
  }
  await add("kafka-lag", async () => judgePartitions(await listPartitionLags(database)));
  await add("late-rows", async () => judgeLateRows(await countLateRows(database)));
  await add("dead-letters", async () =>
    judgeDeadLetters(await countDeadLetters(database, { state: "waiting" })),
  );
  if (engine !== undefined) {
    const measure = hasJobs ? measureChunkGrowth : measurePartitionGrowth;
    await add("disk", async () => judgeDisk(await measure(database), machine?.freeBytes));
  }
  return findings;
}

/** What a check that could not be made tells. */
function unanswered(check: string, error: unknown): Finding {
  const finding: Finding = { check, status: "unknown", detail: messageOf(error) };
  switch (sqlState(error)) {
    case "42P01":
    case "42703":
    case "42883":
    case "3F000":
      return {
        ...finding,
        status: "fail",
        remedy: "The schema is not what this version needs: run `migrate`.",
      };
    case "42501":
      return { ...finding, remedy: "Use the user that migrates the database: this one may not look." };
    case "57014":
      return { ...finding, remedy: "It took too long: the server is busy. Try again." };
    default:
      return finding;
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
