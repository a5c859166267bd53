import { connectKafka } from "@timespan/broker/connect-kafka";
import { pingBroker } from "@timespan/broker/ping-broker";
import { createProducer, type RecordProducer } from "@timespan/broker/producer";
import { StackError } from "@timespan/local-stack/stack-error";
import { systemClock } from "@timespan/runtime/clock";
import { createLogger } from "@timespan/runtime/logger";
import type { Database } from "@timespan/store/database";
import {
  countDeadLetters,
  countReplayable,
  type DeadLetterCount,
} from "@timespan/store/dead-letters/count-dead-letters";
import {
  type DeadLetterFilter,
  type DeadLetterState,
  UNREADABLE_BATCH,
} from "@timespan/store/dead-letters/dead-letter-filter";
import { discardDeadLetters } from "@timespan/store/dead-letters/discard-dead-letters";
import { findDeadLetter } from "@timespan/store/dead-letters/find-dead-letter";
import { type DeadLetterItem, listDeadLetters } from "@timespan/store/dead-letters/list-dead-letters";
import { replayDeadLetters } from "@timespan/store/dead-letters/replay-dead-letters";
import { parseTime } from "@timespan/telemetry/time-range";
import type { Config } from "../config.ts";
import { readEnvFile } from "../env-file.ts";
import { onStopSignals } from "../on-stop-signals.ts";
import type { Progress } from "../progress-line.ts";
import { countLines, createTable, detailLines } from "./dead-letters-format.ts";
import { createLetterSender, type LetterSender } from "./dead-letters-send.ts";
import { withDatabase } from "./with-database.ts";

const LIST_PAGE_SIZE = 1_000;
/** Ids that are named one by one; beyond it a filter is meant. */
export const IDS_MAX = 1_000;

/** Which dead letters are meant, as a person says it. */
export interface Selection {
  ids?: readonly number[];
  topic?: string | undefined;
  reason?: string | undefined;
  /** Such as `1h`, or ISO 8601. */
  since?: string | undefined;
}

/** Where the results of `list` and `show` go; resolves when they are written. */
export type Output = (text: string | Uint8Array) => Promise<void>;

/**
 * Lists dead letters, newest first.
 * @throws {StackError} where the database cannot be asked, or the selection is none
 */
export async function listCommand(
  config: Config,
  output: Output,
  options: Selection & { state?: DeadLetterState | undefined; limit: number; json?: boolean | undefined },
): Promise<void> {
  const filter: DeadLetterFilter = { ...filterOf(options), state: options.state };
  await withDatabase(config, "dead-letters", async (database) => {
    const table = createTable();
    let listed = 0;
    let beforeId: number | undefined;
    for (;;) {
      const size = Math.min(LIST_PAGE_SIZE, options.limit - listed);
      const items: DeadLetterItem[] =
        size > 0 ? await listDeadLetters(database, filter, { beforeId, size }) : [];
      if (options.json) {
        const lines = items.map(
          (item, index) => `${listed + index === 0 ? "[" : ","}\n${JSON.stringify(item)}`,
        );
        await output(lines.join(""));
      } else if (items.length > 0) {
        await output(`${table(items).join("\n")}\n`);
      }
      listed += items.length;
      beforeId = items.at(-1)?.id;
      if (items.length < size || size <= 0) break;
    }
    if (options.json) await output(listed === 0 ? "[]\n" : "\n]\n");
    else await output(`${await summary(database, filter, listed)}\n`);
  });
}

async function summary(database: Database, filter: DeadLetterFilter, listed: number): Promise<string> {
  const total = sum(await countDeadLetters(database, filter));
  if (total === 0) return "No dead letters.";
  return listed < total
    ? `${number(listed)} of ${number(total)}; --limit shows more.`
    : `${number(total)} in all.`;
}

/**
 * Shows all that is known of a dead letter; only its payload, byte for byte, with `raw`.
 * @throws {StackError} where there is none of that id
 */
export async function showCommand(
  config: Config,
  output: Output,
  id: number,
  options: { raw?: boolean | undefined },
): Promise<void> {
  const letter = await withDatabase(config, "dead-letters", (database) => findDeadLetter(database, id));
  if (letter === undefined) throw noSuchLetter([id]);
  if (!options.raw) return output(`${detailLines(letter).join("\n")}\n`);
  if (letter.payload === null) {
    throw new StackError(
      `No payload is kept of dead letter ${id}.`,
      "Its detail says why: show it without --raw.",
    );
  }
  return output(letter.payload);
}

/**
 * Sends the payloads of dead letters to their topics again, and marks each when Kafka has it.
 * @throws {StackError} where some could not be sent; those stay as they were
 */
export async function replayCommand(
  config: Config,
  progress: Progress,
  options: Selection & { dryRun?: boolean | undefined },
): Promise<void> {
  const filter = filterOf(options);
  await withDatabase(config, "dead-letters", async (database) => {
    const counts = await countReplayable(database, filter);
    const total = sum(counts);
    if (filter.ids !== undefined) await explainIds(database, filter.ids, "replayed", progress);
    else await explainWithoutPayload(database, filter, total, progress);
    if (total === 0) {
      progress.report("Nothing to replay.");
      return;
    }
    progress.report(`${number(total)} to replay:`);
    for (const line of countLines(counts)) progress.report(line);
    if (options.dryRun) {
      progress.report("A dry run: nothing was sent.");
      return;
    }
    const producer = await connectProducer(config);
    const sender = createLetterSender(producer);
    const stopRequested = stopOnSignals(progress);
    const replayed = await replayAll(database, filter, counts, sender, progress, stopRequested).finally(() =>
      producer.disconnect(),
    );
    progress.clear();
    progress.report(`Replayed ${number(replayed)} of ${number(total)}.`);
    if (replayed > 0) progress.report("Those that fail again become new dead letters: list --since 5m");
    failWhereSomeWereNotSent(sender);
    failWhereStopped(stopRequested);
  });
}

/** @returns how many Kafka has */
async function replayAll(
  database: Database,
  filter: DeadLetterFilter,
  counts: readonly DeadLetterCount[],
  sender: LetterSender,
  progress: Progress,
  stopRequested: AbortSignal,
): Promise<number> {
  const total = sum(counts);
  // What fails again is a new dead letter with a higher id: it is for the next replay, or this one would not end.
  const through = Math.max(...counts.map(({ last_id }) => last_id));
  let after = 0;
  let replayed = 0;
  while (sender.error === undefined && !stopRequested.aborted) {
    const page = await replayDeadLetters(database, filter, { after, through }, sender.send);
    if (page === undefined) break;
    after = page.lastId;
    replayed += page.sentIds.size;
    progress.update(`Replayed ${number(replayed)} of ${number(total)}`);
  }
  return replayed;
}

function failWhereSomeWereNotSent({ error, tooLargeIds }: LetterSender): void {
  if (error !== undefined) {
    throw new StackError(
      `Kafka did not take the next ones: ${messageOf(error)}`,
      "What was replayed is marked, the rest waits. Is Kafka running, and do their topics exist?",
      { cause: error },
    );
  }
  if (tooLargeIds.length > 0) {
    throw new StackError(
      `Kafka refused ${number(tooLargeIds.length)} for their size: ${firstOf(tooLargeIds)}`,
      "Their headers make them a little larger than they were. Raise max.message.bytes of the topic, or discard them.",
    );
  }
}

/**
 * Gives dead letters up. They are kept until their retention ends, and one that is named can still be replayed.
 * @throws {StackError} where nothing was selected, or it was not confirmed
 */
export async function discardCommand(
  config: Config,
  progress: Progress,
  options: Selection & { all?: boolean | undefined; yes?: boolean | undefined },
): Promise<void> {
  const filter = filterOf(options);
  if (Object.values(filter).every((value) => value === undefined) && !options.all) {
    throw new StackError(
      "Nothing says which dead letters to discard.",
      "Name ids or a filter, or say --all.",
    );
  }
  await withDatabase(config, "dead-letters", async (database) => {
    const counts = await countDeadLetters(database, { ...filter, state: "waiting" });
    const total = sum(counts);
    if (filter.ids !== undefined) await explainIds(database, filter.ids, "discarded", progress);
    if (total === 0) {
      progress.report("Nothing to discard.");
      return;
    }
    progress.report(`${number(total)} to discard:`);
    for (const line of countLines(counts)) progress.report(line);
    if (!options.yes) throw new StackError("Nothing was discarded.", "Say --yes to discard them.");
    const stopRequested = stopOnSignals(progress);
    const through = Math.max(...counts.map(({ last_id }) => last_id));
    let after = 0;
    let discarded = 0;
    while (!stopRequested.aborted) {
      const page = await discardDeadLetters(database, filter, { after, through });
      if (page === undefined) break;
      after = page.lastId;
      discarded += page.count;
      progress.update(`Discarded ${number(discarded)} of ${number(total)}`);
    }
    progress.clear();
    progress.report(`Discarded ${number(discarded)}.`);
    failWhereStopped(stopRequested);
  });
}

/** Says of each id that will not be taken why not. @throws {StackError} where there is no such dead letter */
async function explainIds(
  database: Database,
  ids: readonly number[],
  verb: "replayed" | "discarded",
  progress: Progress,
): Promise<void> {
  const found = await listDeadLetters(database, { ids }, { size: ids.length });
  const known = new Set(found.map(({ id }) => id));
  const missing = ids.filter((id) => !known.has(id));
  if (missing.length > 0) throw noSuchLetter(missing);
  for (const { id, state, reason, payload_bytes } of found.toSorted((a, b) => a.id - b.id)) {
    if (state === "replayed") progress.report(`${id}: was replayed already`);
    else if (verb === "discarded" && state === "discarded") progress.report(`${id}: was discarded already`);
    else if (verb === "replayed" && payload_bytes === null) {
      progress.report(`${id}: no payload is kept, so there is nothing to send`);
    } else if (verb === "replayed" && reason === UNREADABLE_BATCH) {
      progress.report(`${id}: it is a compressed batch, not a record that could be sent`);
    }
  }
}

async function explainWithoutPayload(
  database: Database,
  filter: DeadLetterFilter,
  replayable: number,
  progress: Progress,
): Promise<void> {
  const empty = sum(await countDeadLetters(database, { ...filter, state: "waiting" })) - replayable;
  if (empty > 0) progress.report(`${number(empty)} without a payload that could be sent.`);
}

/** Aborts at the first signal, so that what is on its way is still marked; the second ends the process. */
function stopOnSignals(progress: Progress): AbortSignal {
  const stop = new AbortController();
  onStopSignals({
    first() {
      progress.update("Stopping when the ones on their way are marked; Ctrl-C again ends at once");
      stop.abort();
    },
    second: () => process.exit(130),
  });
  return stop.signal;
}

function failWhereStopped(stopRequested: AbortSignal): void {
  if (!stopRequested.aborted) return;
  throw new StackError("It was stopped before it was through.", "The rest waits: run it again to go on.");
}

/** @throws {StackError} where the time cannot be read, or there are too many ids */
function filterOf({ ids, topic, reason, since }: Selection): DeadLetterFilter {
  if (ids !== undefined && ids.length > IDS_MAX) {
    throw new StackError(`At most ${number(IDS_MAX)} ids can be named.`, "Use --topic, --reason or --since.");
  }
  let sinceUs: number | undefined;
  if (since !== undefined) {
    const text = /^\d{1,9}[smhdw]$/.test(since) ? `now-${since}` : since;
    const time = parseTime(text, systemClock.nowMs());
    if (!time.ok) throw new StackError(`--since ${since}: ${time.reason}`, "For example --since 1h.");
    sinceUs = time.timeUs;
  }
  return {
    ids: ids === undefined || ids.length === 0 ? undefined : [...new Set(ids)],
    topic,
    reason,
    sinceUs,
  };
}

async function connectProducer(config: Config): Promise<RecordProducer> {
  const connection = config.given.kafka ?? {
    brokers: readEnvFile(config.home)?.KAFKA_BROKERS?.split(",") ?? [],
    clientId: "timespan-dead-letters",
  };
  if (connection.brokers.length === 0) {
    throw new StackError(
      `KAFKA_BROKERS is not set, and no stack runs in ${config.home}.`,
      "Set KAFKA_BROKERS, or start a stack with `bun run up`.",
    );
  }
  try {
    // Asked once first: the producer would try for half a minute before it said that nobody is there.
    await pingBroker(connection.brokers, connection);
    const kafka = connectKafka(connection, createLogger("timespan", "silent"));
    return await createProducer(kafka, { idempotent: true });
  } catch (cause) {
    throw new StackError(
      `Kafka at ${connection.brokers.join(",")} cannot be reached: ${messageOf(cause)}`,
      "Nothing was sent. Is it running?",
      { cause },
    );
  }
}

function noSuchLetter(ids: readonly number[]): StackError {
  return new StackError(
    `There is no dead letter ${firstOf(ids)}.`,
    "`timespan dead-letters list` has those there are.",
  );
}

function firstOf(ids: readonly number[]): string {
  const [shown, rest] = [ids.slice(0, 10).join(", "), ids.length - 10];
  return rest > 0 ? `${shown} and ${number(rest)} more` : shown;
}

function sum(counts: readonly DeadLetterCount[]): number {
  return counts.reduce((total, { count }) => total + count, 0);
}

function number(value: number): string {
  return value.toLocaleString("en");
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
