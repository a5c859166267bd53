import { join } from "node:path";
import type { Environment } from "@timespan/runtime/settings";
import { askProgram } from "./ask-program.ts";
import { findProgram, isProgram } from "./find-program.ts";
import { StackError } from "./stack-error.ts";

/** What Kafka 4 needs. */
const JAVA_MAJOR_MIN = 17;

export interface Java {
  command: string;
  major: number;
}

/**
 * The machine's Java: of `JAVA_HOME` if that is new enough, else the one on PATH.
 * @throws {StackError} when there is none, or only older ones
 */
export async function findJava(environment: Environment): Promise<Java> {
  const home = environment.JAVA_HOME;
  const candidates = [home ? join(home, "bin", "java") : undefined, findProgram("java", environment)];
  const tooOld: string[] = [];
  for (const command of candidates) {
    if (command === undefined || !isProgram(command)) continue;
    // The version is printed on standard error, "1.8.0" style before Java 9.
    const { stderr, stdout } = await askProgram(command, ["-version"], { environment });
    const match = /version "(?:1\.)?(\d+)/.exec(stderr + stdout);
    if (match === null) continue;
    const major = Number(match[1]);
    if (major >= JAVA_MAJOR_MIN) return { command, major };
    tooOld.push(`${command} is Java ${major}`);
  }
  throw new StackError(
    tooOld.length > 0
      ? `Kafka needs Java ${JAVA_MAJOR_MIN} or newer: ${tooOld.join(", ")}.`
      : "Kafka needs Java, and there is none on PATH or in JAVA_HOME.",
    `Install Java ${JAVA_MAJOR_MIN} or newer (such as Debian's openjdk-17-jre-headless), or set KAFKA_BROKERS to a broker that runs.`,
  );
}
