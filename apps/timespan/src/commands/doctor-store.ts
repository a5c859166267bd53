/** What the doctor makes of the data: jobs, chunks, rollups, ingest, dead letters. */
import type { DeadLetterCount } from "@timespan/store/dead-letters/count-dead-letters";
import type { JobState } from "@timespan/store/doctor/list-jobs";
import type { MissingDay } from "@timespan/store/doctor/list-missing-days";
import type { OverdueChunks } from "@timespan/store/doctor/list-overdue-chunks";
import type { PartitionLag } from "@timespan/store/doctor/list-partition-lags";
import type { RollupLag } from "@timespan/store/doctor/list-rollup-lags";
import type { SchemaVersion } from "@timespan/store/schema-version";
import { type Finding, ok, some, span } from "./doctor-finding.ts";

export function judgeSchema({ current, missing }: SchemaVersion): Finding {
  const check = "migrations";
  if (current) return ok(check, "current");
  return { check, status: "fail", detail: `missing: ${missing.join(", ")}`, remedy: "Run `migrate`." };
}

/** A scheduler that has many jobs to start may be late; one that is later than this does not run. */
const JOB_OVERDUE_SECONDS_MAX = 300;
/** What the stream-processor sets up when it starts. */
const JOBS_NEEDED = ["policy_compression", "policy_retention", "refresh_rollups", "refresh_service_edges"];

export function judgeJobs(jobs: readonly JobState[]): Finding[] {
  return [judgeFailures(jobs), judgeSchedule(jobs)];
}

function judgeFailures(jobs: readonly JobState[]): Finding {
  const check = "job-failures";
  const failed = jobs.filter((job) => job.failed);
  if (failed.length === 0) return ok(check, `none of ${jobs.length} jobs failed when it last ran`);
  const each = failed.map((job) => {
    const success = job.succeededSecondsAgo === null ? "never" : `${span(job.succeededSecondsAgo)} ago`;
    return `${title(job)} failed (${job.lastError ?? "no message"}; it last succeeded: ${success})`;
  });
  return {
    check,
    status: "fail",
    detail: some(each),
    remedy: `Mend what the message says; then it goes on by itself, or at once by: CALL run_job(${failed[0]?.id}); All failures are in timescaledb_information.job_errors.`,
  };
}

function judgeSchedule(jobs: readonly JobState[]): Finding {
  const check = "job-schedule";
  const absent = JOBS_NEEDED.filter((procedure) => !jobs.some((job) => job.procedure === procedure));
  if (absent.length > 0) {
    return {
      check,
      status: "warn",
      detail: `there is no job ${absent.join(", ")}`,
      remedy: "The stream-processor sets them up: start it once.",
    };
  }
  const paused = jobs.filter(({ scheduled }) => !scheduled);
  if (paused.length > 0) {
    return {
      check,
      status: "fail",
      detail: `switched off: ${some(paused.map(title))}`,
      remedy: paused.map(({ id }) => `SELECT alter_job(${id}, scheduled => true);`).join(" "),
    };
  }
  const late = jobs.filter(
    ({ running, overdueSeconds, scheduleSeconds }) =>
      !running && (overdueSeconds ?? 0) > Math.max(JOB_OVERDUE_SECONDS_MAX, scheduleSeconds),
  );
  if (late.length === 0) return ok(check, "all start when they should");
  return {
    check,
    status: "fail",
    detail: `overdue: ${some(late.map((job) => `${title(job)} by ${span(job.overdueSeconds ?? 0)}`))}`,
    remedy:
      "Are there background workers left (timescaledb.max_background_workers, and the server's log)? Start them anew by: SELECT _timescaledb_functions.restart_background_workers();",
  };
}

function title({ procedure, target, id }: JobState): string {
  return `${procedure}${target === null ? "" : ` of ${target}`} (job ${id})`;
}

export function judgeChunks(overdue: readonly OverdueChunks[]): Finding {
  const check = "columnstore";
  if (overdue.length === 0) return ok(check, "every chunk that should be in the columnstore is");
  const each = overdue.map(
    ({ target, count, oldestSecondsAgo }) =>
      `${count} of ${target}, the oldest of ${span(oldestSecondsAgo)} ago`,
  );
  return {
    check,
    status: "warn",
    detail: `not in the columnstore: ${some(each)}`,
    remedy:
      "They take up to ten times the disk. See job-failures and job-schedule: policy_compression moves them.",
  };
}

/** A refresh runs every half minute; a dense one takes a few. */
const ROLLUP_BEHIND_SECONDS_WARN = 600;
/** Raw rows are dropped some day, and what no rollup has read by then is missing from charts for good. */
const ROLLUP_BEHIND_SECONDS_FAIL = 86_400;

export function judgeRollups(lags: readonly RollupLag[]): Finding {
  const check = "rollups";
  if (lags.length === 0) {
    return {
      check,
      status: "warn",
      detail: "nothing refreshes them: everything is computed from raw rows",
      remedy: "The stream-processor sets up timespan.refresh_rollups: start it once.",
    };
  }
  const late = lags
    .filter(({ behindSeconds }) => behindSeconds > ROLLUP_BEHIND_SECONDS_WARN)
    .sort((a, b) => b.behindSeconds - a.behindSeconds);
  if (late.length === 0) return ok(check, `all ${lags.length} are fresh`);
  return {
    check,
    status: (late[0]?.behindSeconds ?? 0) > ROLLUP_BEHIND_SECONDS_FAIL ? "fail" : "warn",
    detail: `behind: ${some(late.map(({ rollup, behindSeconds }) => `${rollup} by ${span(behindSeconds)}`))}`,
    remedy:
      "Answers stay right and get slow. See job-failures and job-schedule: timespan.refresh_rollups brings them up to date, and timespan.refresh_service_edges the service map.",
  };
}

const LAG_SECONDS_WARN = 60;
const LAG_SECONDS_FAIL = 900;
/** The stream-processor looks every 5 s. */
const OBSERVED_SECONDS_MAX = 60;

export function judgePartitions(partitions: readonly PartitionLag[]): Finding[] {
  if (partitions.length === 0) {
    return [ok("kafka-lag", "nothing was ingested yet"), ok("stream-processor", "nothing was ingested yet")];
  }
  return [judgeLag(partitions), judgeObservation(partitions)];
}

function judgeLag(partitions: readonly PartitionLag[]): Finding {
  const check = "kafka-lag";
  const records = partitions.reduce((sum, { recordsBehind }) => sum + recordsBehind, 0);
  const late = partitions.filter(({ behindSeconds }) => (behindSeconds ?? 0) > LAG_SECONDS_WARN);
  const worst = Math.max(...partitions.map(({ behindSeconds }) => behindSeconds ?? 0));
  if (late.length === 0) return ok(check, `${records} records wait in ${partitions.length} partitions`);
  const each = late.map(
    ({ behindSeconds, recordsBehind, ...partition }) =>
      `${name(partition)} for ${span(behindSeconds ?? 0)} (${recordsBehind} records)`,
  );
  return {
    check,
    status: worst > LAG_SECONDS_FAIL ? "fail" : "warn",
    detail: `behind Kafka: ${some(each)}`,
    remedy:
      "Look at the stream-processor's /ready and log. If it is healthy and busy, raise WORKERS or start a second one.",
  };
}

function judgeObservation(partitions: readonly PartitionLag[]): Finding {
  const check = "stream-processor";
  const unseen = partitions.filter(
    ({ observedSecondsAgo }) => (observedSecondsAgo ?? Number.POSITIVE_INFINITY) > OBSERVED_SECONDS_MAX,
  );
  if (unseen.length === 0) return ok(check, `reads all ${partitions.length} partitions`);
  const last = Math.min(
    ...unseen.map(({ observedSecondsAgo }) => observedSecondsAgo ?? Number.POSITIVE_INFINITY),
  );
  const since = Number.isFinite(last) ? `for ${span(last)}` : "ever";
  if (unseen.length === partitions.length) {
    return {
      check,
      status: "fail",
      detail: `nobody has looked at Kafka ${since}`,
      remedy: "Start the stream-processor, or see why it does not: its /ready and log say so.",
    };
  }
  return {
    check,
    status: "warn",
    detail: `nobody looks at ${some(unseen.map(name))}`,
    remedy:
      "Does a stream-processor read this topic, and is it in its consumer group? A topic that is gone stays in timespan.ingest_offsets; delete its rows there once its rows are past retention.",
  };
}

function name({ topic, partition }: { topic: string; partition: number }): string {
  return `${topic}/${partition}`;
}

/** What the stream-processor moves in one turn of 20 s at the very most is more than this. */
const LATE_ROWS_WARN = 100_000;

export function judgeLateRows({ spans, logs }: { spans: number; logs: number }): Finding {
  const check = "late-rows";
  const detail = `${spans} late spans and ${logs} late logs wait to be moved`;
  if (spans + logs < LATE_ROWS_WARN) return ok(check, detail);
  return {
    check,
    status: "warn",
    detail,
    remedy:
      "No query sees them until then. Does a stream-processor run, and does its log say why rows were not moved? Clocks of senders that are far behind make all rows late.",
  };
}

export function judgeDeadLetters(waiting: readonly DeadLetterCount[]): Finding {
  const check = "dead-letters";
  if (waiting.length === 0) return ok(check, "none wait");
  const total = waiting.reduce((sum, { count }) => sum + count, 0);
  return {
    check,
    status: "warn",
    detail: `${total} wait: ${some(waiting.map(({ count, reason, topic }) => `${count} ${reason} of ${topic}`))}`,
    remedy: "`timespan dead-letters list` shows them; then `replay` or `discard` them.",
  };
}

export function judgeDays(missing: readonly MissingDay[]): Finding {
  const check = "partitions";
  if (missing.length === 0) return ok(check, "those of today and the next two days are there");
  return {
    check,
    status: missing.some(({ daysAhead }) => daysAhead < 2) ? "fail" : "warn",
    detail: `missing: ${some(missing.map(({ table, day }) => `${table} of ${day}`))}`,
    remedy:
      "The stream-processor makes them at its start and every hour: start it, or look in its log for `storage not maintained`.",
  };
}
