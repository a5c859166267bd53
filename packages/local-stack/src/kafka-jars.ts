import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { type Clock, systemClock } from "@timespan/runtime/clock";
import type { Environment } from "@timespan/runtime/settings";
import { diskFull } from "./disk-space.ts";
import { findProgram } from "./find-program.ts";
import { runProgram } from "./run-program.ts";
import { StackError, StackStartAborted } from "./stack-error.ts";

const POM = join(import.meta.dir, "..", "kafka", "pom.xml");
const PLUGIN_GOAL = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:build-classpath";
/** About 43 MB, on a slow line. */
const RESOLVE_TIMEOUT_MS = 15 * 60_000;

export interface KafkaJars {
  /** As `java -cp` takes it. */
  classpath: string;
  /** Of Kafka, as the pom says. */
  version: string;
}

export interface KafkaJarsOptions {
  home: string;
  environment: Environment;
  progress(line: string): void;
  signal?: AbortSignal | undefined;
}

/** The Kafka version that the pom names. */
export function kafkaVersion(pom = readFileSync(POM, "utf8")): string {
  return /<artifactId>kafka_[\d.]+<\/artifactId>\s*<version>([^<]+)</.exec(pom)?.[1] ?? "unknown";
}

/** The class path resolved earlier for this very pom, if each of its jars is still there. */
export function resolvedKafkaJars(home: string): KafkaJars | undefined {
  const path = classpathFile(home);
  if (!existsSync(path)) return undefined;
  const classpath = readFileSync(path, "utf8").trim();
  const complete = classpath !== "" && classpath.split(delimiter).every((jar) => existsSync(jar));
  return complete ? { classpath, version: kafkaVersion() } : undefined;
}

/** @throws {StackError} when there is no Maven on PATH */
export function findMaven(environment: Environment): string {
  const maven = findProgram("mvn", environment);
  if (maven !== undefined) return maven;
  throw new StackError(
    "Maven fetches the jars of Kafka, and there is no mvn on PATH.",
    "Install Maven (such as Debian's package maven), or set KAFKA_BROKERS to a broker that runs.",
  );
}

/**
 * Lets Maven fetch Kafka into its own repository (once per machine) and remembers the class path in the home.
 * @throws {StackError} when Maven is missing or fails, with the end of what it said
 * @throws {StackStartAborted} when `signal` aborts
 */
export async function resolveKafkaJars(
  options: KafkaJarsOptions,
  clock: Clock = systemClock,
): Promise<KafkaJars> {
  const known = resolvedKafkaJars(options.home);
  if (known !== undefined) return known;
  const path = classpathFile(options.home);
  const draft = `${path}.new`;
  mkdirSync(dirname(path), { recursive: true });
  rmSync(draft, { force: true });
  const args = ["-B", "-f", POM, PLUGIN_GOAL, `-Dmdep.outputFile=${draft}`, "-Dmdep.includeScope=runtime"];
  const { ok, output } = await runProgram(
    findMaven(options.environment),
    args,
    {
      environment: options.environment,
      timeoutMs: RESOLVE_TIMEOUT_MS,
      signal: options.signal,
      onTick(elapsedMs, said) {
        const jarCount = said.match(/Downloaded from .*\.jar/g)?.length ?? 0;
        const fetched = jarCount > 0 ? `, ${jarCount} jars fetched` : "";
        const seconds = Math.round(elapsedMs / 1_000);
        options.progress(
          `Maven resolves Kafka ${kafkaVersion()} (43 MB the first time${fetched}), ${seconds} s`,
        );
      },
    },
    clock,
  );
  const logFile = join(options.home, "logs", "maven.log");
  mkdirSync(dirname(logFile), { recursive: true });
  writeFileSync(logFile, output);
  if (options.signal?.aborted) throw new StackStartAborted();
  if (!ok || !existsSync(draft)) throw explainFailure(output, options.home, logFile);
  renameSync(draft, path);
  const jars = resolvedKafkaJars(options.home);
  if (jars === undefined)
    throw explainFailure("a jar is missing after Maven succeeded", options.home, logFile);
  return jars;
}

/** What Maven adds to every error. */
const MAVEN_ADVICE = /To see the full stack trace|Re-run Maven|For more information|\[ERROR\] \[Help/;

function explainFailure(output: string, home: string, logFile: string): StackError {
  if (output.includes("No space left on device")) return diskFull(home, "Maven could not write");
  const errors = output.split("\n").filter((line) => /\[ERROR\] \S/.test(line) && !MAVEN_ADVICE.test(line));
  const said = (errors.length > 0 ? errors : output.trim().split("\n").slice(-5)).slice(0, 5).join("\n");
  return new StackError(
    `Maven could not resolve Kafka:\n${said}`,
    `Check the network and Maven's settings (all it said is in ${logFile}), or set KAFKA_BROKERS to a broker that runs.`,
  );
}

function classpathFile(home: string): string {
  const hash = createHash("sha256").update(readFileSync(POM)).digest("hex").slice(0, 12);
  return join(home, "kafka", `classpath-${hash}.txt`);
}
