import { type Command, InvalidArgumentError, Option } from "commander";
import { readConfig } from "../config.ts";
import type { Progress } from "../progress-line.ts";
import { discardCommand, listCommand, replayCommand, type Selection, showCommand } from "./dead-letters.ts";

const LIST_LIMIT_DEFAULT = 20;

type Filters = Omit<Selection, "ids">;

/** `timespan dead-letters list | show | replay | discard`. */
export function registerDeadLetters(program: Command, progress: Progress): void {
  const deadLetters = program
    .command("dead-letters")
    .description("look at the events that could not become rows, and send them again or give them up");

  withFilters(deadLetters.command("list"))
    .description("list them, newest first")
    .addOption(new Option("--state <state>", "only those").choices(["waiting", "replayed", "discarded"]))
    .option("--limit <n>", "at most so many", wholeNumber, LIST_LIMIT_DEFAULT)
    .option("--json", "as a JSON array, one a line")
    .action((options) => listCommand(readConfig(), write, options));

  deadLetters
    .command("show")
    .description("show one with its payload")
    .argument("<id>", "its number", wholeNumber)
    .option("--raw", "only the payload, byte for byte")
    .action((id: number, options: { raw?: boolean }) => showCommand(readConfig(), write, id, options));

  withFilters(deadLetters.command("replay"))
    .description("send those that wait to their topics again; without ids and filters, all")
    .argument("[ids...]", "their numbers", wholeNumbers)
    .option("--dry-run", "only say what would be sent")
    .action((ids: number[], options: Filters & { dryRun?: boolean }) =>
      replayCommand(readConfig(), progress, { ...options, ids }),
    );

  withFilters(deadLetters.command("discard"))
    .description("give up those that wait; they are kept until their retention ends")
    .argument("[ids...]", "their numbers", wholeNumbers)
    .option("--all", "all that wait")
    .option("--yes", "do it, instead of only saying what would be discarded")
    .action((ids: number[], options: Filters & { all?: boolean; yes?: boolean }) =>
      discardCommand(readConfig(), progress, { ...options, ids }),
    );
}

function withFilters(command: Command): Command {
  return command
    .option("--topic <name>", "only those of this Kafka topic")
    .option("--reason <code>", "only those with this reason, such as invalid_event")
    .option("--since <time>", "only those received since: 30m, 1h, 7d, or ISO 8601 with offset");
}

/** Resolves when the text has left the process, which may end right after; a reader that has enough is no error. */
function write(text: string | Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(text, (error) => {
      if (error && "code" in error && error.code === "EPIPE") process.exit(0);
      if (error) reject(error);
      else resolve();
    });
  });
}

function wholeNumber(text: string): number {
  const value = Number(text);
  if (/^\d{1,15}$/.test(text) && value > 0) return value;
  throw new InvalidArgumentError("must be a whole number above 0");
}

function wholeNumbers(text: string, before: number[] | undefined): number[] {
  return [...(before ?? []), wholeNumber(text)];
}
