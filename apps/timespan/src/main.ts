import { StackError } from "@timespan/local-stack/stack-error";
import { SettingsError } from "@timespan/runtime/settings";
import { Argument, Command, InvalidArgumentError, Option } from "commander";
import { addressLines, commandLines } from "./announce.ts";
import { registerAnalysts } from "./commands/analysts-register.ts";
import { CommandError } from "./commands/command-error.ts";
import { registerDeadLetters } from "./commands/dead-letters-register.ts";
import { registerDoctor } from "./commands/doctor-register.ts";
import { down } from "./commands/down.ts";
import { registerKeys } from "./commands/keys-register.ts";
import { migrate } from "./commands/migrate.ts";
import { sample } from "./commands/sample.ts";
import { up } from "./commands/up.ts";
import { BACKGROUND_OPTION, backgroundProgress, tellParent, upDetached } from "./commands/up-detached.ts";
import { databaseUrlOf, withDatabase } from "./commands/with-database.ts";
import { readConfig } from "./config.ts";
import { createProgressLine } from "./progress-line.ts";

const progress = createProgressLine(process.stdout);

const program = new Command("timespan").description(
  "An APM you query with SQL: Kafka to TimescaleDB, a query API, and live errors.",
);

program
  .command("up")
  .description("find or start Postgres, Kafka and Redis, migrate, and run the three apps until Ctrl-C")
  .option("--detach", "return when everything is ready; `down` stops it")
  .addOption(new Option(BACKGROUND_OPTION).hideHelp())
  .action(async (options: { detach?: boolean; background?: boolean }) => {
    const config = readConfig();
    if (options.detach) return upDetached(config, progress);
    const shown = options.background ? backgroundProgress(progress) : progress;
    await up(config, {
      progress: shown,
      onReady(stack) {
        for (const line of addressLines(config, stack)) shown.report(line);
        if (options.background) tellParent({ ready: true });
        else shown.report("\nCtrl-C stops everything.");
      },
    });
  });

program
  .command("demo")
  .description("`up`, with the steady traffic of a small shop")
  .option("--rate <n>", "traces per second", positiveNumber)
  .action(async (options: { rate?: number }) => {
    const config = readConfig();
    await up(config, {
      progress,
      traffic: {
        app: { name: "demo-traffic", main: "apps/timespan/src/demo/main.ts" },
        environment: options.rate === undefined ? {} : { DEMO_TRACES_PER_SECOND: String(options.rate) },
      },
      onReady(stack) {
        const lines = [...addressLines(config, stack), ...commandLines(config, stack)];
        for (const line of lines) progress.report(line);
        progress.report("\nTraffic is flowing. Ctrl-C stops everything.");
      },
    });
  });

program
  .command("down")
  .description("stop the stack of this TIMESPAN_HOME")
  .action(() => down(readConfig(), progress));

program
  .command("migrate")
  .description("bring the schema of DATABASE_URL, or of the running stack, up to date")
  .action(() => migrate(readConfig(), progress));

program
  .command("sample")
  .description("send one event to Kafka")
  .addArgument(new Argument("<kind>").choices(["log", "span"]))
  .action((kind: "log" | "span") => sample(kind, readConfig(), progress));

registerDeadLetters(program, progress);
registerAnalysts(
  program.command("analysts"),
  () => databaseUrlOf(readConfig()),
  (work) => withDatabase(readConfig(), "analysts", work),
);
registerDoctor(program.command("doctor"), () => databaseUrlOf(readConfig()));
registerKeys(program.command("keys"), (work) => withDatabase(readConfig(), "keys", work));

try {
  await program.parseAsync();
  process.exit();
} catch (error) {
  progress.clear();
  if (error instanceof StackError) {
    tellParent({ failed: { what: error.what, remedy: error.remedy } });
    console.error(`\n${error.what}\n→ ${error.remedy.replaceAll("\n", "\n→ ")}`);
  } else if (error instanceof SettingsError || error instanceof CommandError) {
    console.error(error.message);
  } else {
    console.error(error);
  }
  process.exit(process.exitCode ?? 1);
}

function positiveNumber(text: string): number {
  const value = Number(text);
  if (Number.isFinite(value) && value > 0) return value;
  throw new InvalidArgumentError("must be a number above 0");
}
