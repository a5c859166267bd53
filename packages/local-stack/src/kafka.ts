import { randomUUID } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pingBroker } from "@timespan/broker/ping-broker";
import { type Clock, systemClock } from "@timespan/runtime/clock";
import type { Environment } from "@timespan/runtime/settings";
import { askProgram } from "./ask-program.ts";
import { diskFull } from "./disk-space.ts";
import { findJava } from "./find-java.ts";
import { choosePort, findFreePort, LOOPBACK, type PortChoice, portIsFree, portTaken } from "./free-port.ts";
import { findMaven, kafkaVersion, resolvedKafkaJars, resolveKafkaJars } from "./kafka-jars.ts";
import { LocalServer } from "./local-server.ts";
import { joinStackErrors, StackError, StackStartAborted } from "./stack-error.ts";
import { startProcess } from "./start-process.ts";
import { pidFilesDir } from "./stop-leftovers.ts";

const CONFIG_DIR = join(import.meta.dir, "..", "kafka");
const PORT_VARIABLE = "KAFKA_PORT";
const HEAP_MAX = "512m";
const FORMAT_TIMEOUT_MS = 60_000;
const READY_TIMEOUT_MS = 90_000;
const STOP_GRACE_MS = 20_000;

export interface KafkaOptions {
  /** Absolute. */
  home: string;
  environment: Environment;
  port: PortChoice;
  /** Why this one, for the line that says what was chosen. */
  why: string;
  progress(line: string): void;
  /**
   * Lines added to server.properties, where the last of a name counts: for tests of listeners that the stack itself
   * has no use for. May name `@PORT@` and `@CONTROLLER_PORT@`; the plain listener must stay, it tells who is ready.
   */
  addedProperties?: readonly string[];
  /** Added to the format step, such as `--add-scram=…`. */
  addedFormatArgs?: readonly string[];
}

/**
 * A single KRaft node of real Apache Kafka on this machine's Java; not yet started when this resolves.
 * @throws {StackError} when Java or Maven is missing (both are named), or the port is taken
 */
export async function createKafka(
  options: KafkaOptions,
  clock: Clock = systemClock,
): Promise<{ server: LocalServer; brokers: string[] }> {
  const { home, environment } = options;
  const needsMaven = resolvedKafkaJars(home) === undefined;
  const wanted = await Promise.allSettled([
    findJava(environment),
    choosePort(options.port, "Kafka", PORT_VARIABLE),
    needsMaven ? Promise.try(findMaven, environment) : undefined,
  ]);
  const [java, port] = wanted;
  if (java.status === "rejected" || port.status === "rejected" || wanted[2].status === "rejected") {
    throw joinRejections(wanted);
  }
  return {
    server: kafkaServer(options, java.value, port.value, clock),
    brokers: [`${LOOPBACK}:${port.value}`],
  };
}

function joinRejections(results: readonly PromiseSettledResult<unknown>[]): unknown {
  const reasons = results.flatMap((result) => (result.status === "rejected" ? [result.reason] : []));
  const bug = reasons.find((reason) => !(reason instanceof StackError));
  return bug ?? joinStackErrors(reasons);
}

function kafkaServer(
  options: KafkaOptions,
  java: { command: string; major: number },
  port: number,
  clock: Clock,
): LocalServer {
  const { home, environment } = options;
  const dir = join(home, "kafka");
  const dataDir = join(dir, "data");
  const settingsFile = join(dir, "server.properties");
  const logFile = join(home, "logs", "kafka.log");

  return new LocalServer(
    {
      name: "kafka",
      choice: `Kafka: Apache Kafka ${kafkaVersion()} on Java ${java.major} on port ${port}, ${options.why}`,
      logFile,
      readyTimeoutMs: READY_TIMEOUT_MS,
      async launch(signal) {
        const { classpath } = await resolveKafkaJars({ ...options, signal }, clock);
        mkdirSync(dataDir, { recursive: true });
        writeFileSync(settingsFile, await serverProperties(dir, dataDir, port, options.addedProperties));
        const jvm = [
          ...["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"],
          `-Dlog4j2.configurationFile=${join(CONFIG_DIR, "log4j2.properties")}`,
          ...["-cp", classpath],
        ];
        if (!existsSync(join(dataDir, "meta.properties"))) {
          options.progress("Formatting Kafka's data folder");
          await format(java.command, jvm, dataDir, settingsFile, options);
        }
        if (signal?.aborted) throw new StackStartAborted();
        return startProcess(
          {
            name: "kafka",
            command: java.command,
            args: [`-Xmx${HEAP_MAX}`, ...jvm, "kafka.Kafka", settingsFile],
            environment,
            cwd: dir,
            logFile,
            pidFile: join(pidFilesDir(home), "kafka.json"),
            stop: { signal: "SIGTERM", graceMs: STOP_GRACE_MS, lastSignal: "SIGKILL" },
          },
          clock,
        );
      },
      ping: () => pingBroker([`${LOOPBACK}:${port}`]),
      explain(log) {
        if (/Address already in use/.test(log)) return portTaken(port, "Kafka", PORT_VARIABLE);
        if (/No space left on device/.test(log)) return diskFull(dataDir, "Kafka could not write");
        return undefined;
      },
    },
    clock,
  );
}

/** Writes the node's identity, as `kafka-storage.sh format` does. An interrupted one is done again from nothing. */
async function format(
  java: string,
  jvm: readonly string[],
  dataDir: string,
  settingsFile: string,
  { environment, addedFormatArgs = [] }: KafkaOptions,
): Promise<void> {
  // May begin with a dash: given below as --cluster-id=…, or Kafka takes it for an option.
  const clusterId = Buffer.from(randomUUID().replaceAll("-", ""), "hex").toString("base64url");
  rmSync(dataDir, { recursive: true, force: true });
  mkdirSync(dataDir, { recursive: true });
  const { ok, stdout, stderr } = await askProgram(
    java,
    [
      ...[...jvm, "kafka.tools.StorageTool", "format", `--cluster-id=${clusterId}`, "-c", settingsFile],
      ...addedFormatArgs,
    ],
    { environment, timeoutMs: FORMAT_TIMEOUT_MS },
  );
  if (ok) return;
  rmSync(dataDir, { recursive: true, force: true });
  const said = `${stdout}\n${stderr}`.trim();
  if (said.includes("No space left on device")) throw diskFull(dataDir, "Kafka could not write");
  throw new StackError(`Kafka could not format ${dataDir}: ${said}`, "See the text above.");
}

async function serverProperties(
  dir: string,
  dataDir: string,
  port: number,
  added: readonly string[] = [],
): Promise<string> {
  const values: Record<string, string> = {
    PORT: String(port),
    CONTROLLER_PORT: String(await controllerPort(dir, port)),
    DATA_DIRECTORY: dataDir,
  };
  const template = [readFileSync(join(CONFIG_DIR, "server.properties"), "utf8"), ...added].join("\n");
  return template.replace(/@([A-Z_]+)@/g, (_, name: string) => {
    const value = values[name];
    if (value === undefined) throw new Error(`server.properties names @${name}@, which nothing fills in`);
    return value;
  });
}

/** The port on which the node talks to itself: the one of last time if it is still free, else any. */
async function controllerPort(dir: string, port: number): Promise<number> {
  const path = join(dir, "controller-port");
  const earlier = existsSync(path) ? Number(readFileSync(path, "utf8")) : Number.NaN;
  if (Number.isInteger(earlier) && earlier !== port && (await portIsFree(earlier))) return earlier;
  const free = await findFreePort();
  writeFileSync(path, `${free}\n`);
  return free;
}
