import { closeDatabase, openDatabase } from "@timespan/store/database";
import type { Command } from "commander";
import { examine } from "./doctor.ts";
import type { Finding, Status } from "./doctor-finding.ts";

/** For each check; they ask catalogs and small tables. */
const STATEMENT_TIMEOUT_MS = 10_000;

/** What scripts look at: nothing to do, somebody should look, something does not work. */
const EXIT_CODES: Record<Status, number> = { ok: 0, unknown: 0, warn: 1, fail: 2 };

/** `doctor`. It ends the process by {@link EXIT_CODES}; 2 also where there is no database to look at. */
export function registerDoctor(doctor: Command, databaseUrl: () => string): void {
  doctor
    .description("look at the database and say what is wrong and what to do; changes nothing")
    .option("--json", "as JSON", false)
    .addHelpText("after", "\nExit code: 0 all is well, 1 warnings, 2 failures.")
    .action(async ({ json }: { json: boolean }) => {
      process.exitCode = EXIT_CODES.fail;
      const url = databaseUrl();
      const database = openDatabase({
        url,
        applicationName: "timespan doctor",
        poolMax: 1,
        statementTimeoutMs: STATEMENT_TIMEOUT_MS,
        readOnly: true,
      });
      try {
        const findings = await examine(database, url);
        const status = worst(findings);
        console.log(json ? JSON.stringify({ status, findings }, null, 2) : report(findings));
        process.exitCode = EXIT_CODES[status];
      } finally {
        await closeDatabase(database);
      }
    });
}

function worst(findings: readonly Finding[]): Status {
  const order: readonly Status[] = ["fail", "warn", "unknown"];
  return order.find((status) => findings.some((finding) => finding.status === status)) ?? "ok";
}

/** A line a finding, and below it what to do. */
function report(findings: readonly Finding[]): string {
  const width = Math.max(...findings.map(({ check }) => check.length));
  const lines = findings.flatMap(({ check, status, detail, remedy }) => [
    `${status.padEnd(7)}  ${check.padEnd(width)}  ${detail}`,
    ...(remedy === undefined ? [] : [`${" ".repeat(9 + width)}  → ${remedy}`]),
  ]);
  const count = (status: Status) => findings.filter((finding) => finding.status === status).length;
  const counts = `${count("ok")} ok, ${count("warn")} warnings, ${count("fail")} failures, ${count("unknown")} unknown`;
  return [...lines, "", counts].join("\n");
}
