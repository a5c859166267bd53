import { withTimeout } from "@timespan/runtime/clock";
import type { Logger } from "@timespan/runtime/logger";
import type { Database } from "@timespan/store/database";
import { type IngestLag, readIngestLag } from "@timespan/store/ingest/read-ingest-lag";
import { readSchemaVersion, type SchemaVersion } from "@timespan/store/schema-version";
import type { Readiness, ReadinessCheck } from "@timespan/telemetry/api/readiness";
import type { Handler } from "hono";
import { isSchemaMissing } from "../problem.ts";

/** Who asks whether we are ready wants to know now. */
const CHECK_TIMEOUT_MS = 2_000;

/** `GET /ready`: 200 when queries would be answered from fresh data, otherwise 503; both say why. */
export const readyRoute =
  ({
    database,
    logger,
    ingestLagMaxSeconds,
  }: {
    database: Database;
    logger: Logger;
    ingestLagMaxSeconds: number;
  }): Handler =>
  async (c) => {
    const [schema, lag] = await Promise.allSettled([
      bounded(readSchemaVersion(database)),
      bounded(readIngestLag(database)),
    ]);
    for (const result of [schema, lag]) {
      if (result.status === "rejected") logger.warn({ err: result.reason }, "a check of /ready failed");
    }
    const checks = [checkDatabase(schema), checkMigrations(schema), checkIngestLag(lag, ingestLagMaxSeconds)];
    const ready = checks.every(({ ok }) => ok);
    const answer: Readiness = { status: ready ? "ready" : "not_ready", checks };
    return c.json(answer, ready ? 200 : 503);
  };

function bounded<T>(work: Promise<T>): Promise<T> {
  return withTimeout(work, CHECK_TIMEOUT_MS, "no answer in time");
}

function checkDatabase(schema: PromiseSettledResult<SchemaVersion>): ReadinessCheck {
  const answers = schema.status === "fulfilled" || isSchemaMissing(schema.reason);
  return {
    name: "database",
    ok: answers,
    detail: answers ? "answers" : `no answer within ${CHECK_TIMEOUT_MS / 1_000} s, or refused`,
  };
}

function checkMigrations(schema: PromiseSettledResult<SchemaVersion>): ReadinessCheck {
  if (schema.status === "fulfilled") {
    const { current, missing } = schema.value;
    return {
      name: "migrations",
      ok: current,
      detail: current ? "current" : `missing: ${missing.join(", ")}; run the migrations`,
    };
  }
  return {
    name: "migrations",
    ok: false,
    detail: isSchemaMissing(schema.reason)
      ? "the database was never migrated; run the migrations"
      : "not known while the database does not answer",
  };
}

function checkIngestLag(lag: PromiseSettledResult<IngestLag>, maxSeconds: number): ReadinessCheck {
  if (lag.status === "rejected") {
    return { name: "ingest_lag", ok: false, detail: "not known while the database does not answer" };
  }
  const { partitionCount, recordsBehind, lagSeconds, observedSecondsAgo } = lag.value;
  if (partitionCount === 0) return { name: "ingest_lag", ok: true, detail: "nothing was ingested yet" };
  const sentences = [
    recordsBehind === 0
      ? "nothing waits to be stored"
      : `${recordsBehind} records wait, and a partition has been behind for ${Math.round(lagSeconds)} s (limit ${maxSeconds} s)`,
  ];
  // A lag that nobody measures is not known to be under its limit.
  const unobserved = observedSecondsAgo !== null && observedSecondsAgo > maxSeconds;
  if (unobserved) sentences.push(`no stream-processor has reported for ${Math.round(observedSecondsAgo)} s`);
  return { name: "ingest_lag", ok: lagSeconds <= maxSeconds && !unobserved, detail: sentences.join("; ") };
}
