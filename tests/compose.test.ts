import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { BUNDLES } from "../deploy/build-bundles.ts";
import { appSettings, composeSettings, environmentExample } from "../docs/generate-settings.ts";

/** No Docker engine is needed here: the file is read as Compose reads it, and held against the code. */
const REPOSITORY = resolve(import.meta.dir, "..");
const read = (path: string) => readFileSync(join(REPOSITORY, path), "utf8");

interface Service {
  image?: string;
  build?: string;
  user?: string;
  command?: string[];
  environment?: Record<string, string | number>;
  ports?: string[];
  volumes?: string[];
  restart?: string;
  healthcheck?: { test: string[] };
  depends_on?: Record<string, { condition: string }>;
  cap_drop?: string[];
  security_opt?: string[];
  stop_grace_period?: string;
  mem_limit?: string;
  logging?: { options: Record<string, string> };
}

const text = read("compose.yaml");
const compose = Bun.YAML.parse(text) as {
  services: Record<string, Service>;
  volumes: Record<string, unknown>;
};
const services = Object.entries(compose.services);
const apps = services.filter(([, service]) => service.build !== undefined);
const packageJson = JSON.parse(read("package.json")) as { version: string; packageManager: string };

/** `${NAME:-default}`, the only form in use, as Compose fills it in where nothing is set. */
const VARIABLE = /\$\{(\w+)(?::-([^}]*))?\}/g;
const withDefaults = (value: string | number) =>
  String(value).replace(VARIABLE, (_, __, fallback = "") => fallback);

function environmentOf(name: string): Record<string, string | number> {
  return compose.services[name]?.environment ?? {};
}

test("it has the services that packages/local-stack and the README speak of", () => {
  expect(services.map(([name]) => name)).toEqual([
    "timescaledb",
    "kafka",
    "redis",
    "migrate",
    "stream-processor",
    "query-api",
    "error-stream",
  ]);
});

describe("every service", () => {
  test.each(services)("%s runs an image of an exact version, not as root, within limits", (_, service) => {
    expect(service.image).toMatch(/:\d+\.\d+\.\d+(-[a-z0-9]+)?$/);
    expect(service.image).not.toContain("-oss");
    if (service.build === undefined) expect(service.user).toMatch(/^(?!root$|0$)\w+$/);
    expect(service.cap_drop).toEqual(["ALL"]);
    expect(service.security_opt).toEqual(["no-new-privileges:true"]);
    expect(service.mem_limit).toBeDefined();
    expect(service.logging?.options).toMatchObject({ "max-size": "10m", "max-file": "3" });
  });

  test.each(services)("%s publishes ports on 127.0.0.1 only, each by a variable", (_, { ports = [] }) => {
    for (const port of ports) expect(port).toMatch(/^127\.0\.0\.1:\$\{\w+:-\d+\}:\d+$/);
  });

  test.each(services)("%s comes back after a crash and says when it is ready", (name, service) => {
    if (name === "migrate") {
      expect(service.restart).toBe("no");
      return;
    }
    expect(service.restart).toBe("unless-stopped");
    expect(service.healthcheck?.test[0]).toMatch(/^CMD(-SHELL)?$/);
  });

  test.each(services)("%s has every named volume declared", (_, { volumes = [] }) => {
    for (const volume of volumes) expect(Object.keys(compose.volumes)).toContain(volume.split(":")[0] ?? "");
  });

  test.each(services)("%s waits for healthy servers and a migrated schema", (name, service) => {
    const waits = service.depends_on ?? {};
    const environment = environmentOf(name);
    if ("DATABASE_URL" in environment) expect(waits.timescaledb).toEqual({ condition: "service_healthy" });
    if ("KAFKA_BROKERS" in environment) expect(waits.kafka).toEqual({ condition: "service_healthy" });
    if ("DATABASE_URL" in environment && name !== "migrate") {
      expect(waits.migrate).toEqual({ condition: "service_completed_successfully" });
    }
  });
});

describe("every app", () => {
  test("is one of the bundles of the image", () => {
    // Keys and logins are made and the doctor is asked by a person, in the container of an app.
    const processes = Object.keys(BUNDLES).filter((name) => !["keys", "analysts", "doctor"].includes(name));
    expect(apps.map(([, { command }]) => command)).toEqual(processes.map((name) => [`${name}.js`]));
    for (const [, { image }] of apps) expect(image).toBe(`timespan:${packageJson.version}`);
  });

  test.each(apps)("%s is given only variables that it knows", (name) => {
    const known = settingsOf(name).map((setting) => setting.name);
    for (const variable of Object.keys(environmentOf(name))) expect(known).toContain(variable);
  });

  test.each(apps.filter(([name]) => name !== "migrate"))(
    "%s can be given each of its settings that the stack does not decide itself",
    (name) => {
      const decided =
        /^KAFKA_(BROKERS_LOCAL|SSL|SASL|AWS)|^AWS_|^REDIS_(?!HOST)|^(PORT|ERROR_STREAM_PORT|STREAM_PROCESSOR_PORT)$/;
      for (const setting of settingsOf(name).filter((each) => !decided.test(each.name))) {
        const value = environmentOf(name)[setting.name];
        expect(value).toBeDefined();
        const fixed = ["HOST", "DATABASE_URL", "KAFKA_BROKERS", "REDIS_HOST"].includes(setting.name);
        if (fixed) continue;
        // Empty counts as absent, so the default stands in one place: the app. One that the machine decides does not.
        const own = composeSettings.find((each) => each.name === setting.name)?.fallback ?? "";
        expect(own === "").toBe(setting.fallbackText === undefined);
        expect(value).toBe(`\${${setting.name}:-${own}}`);
      }
    },
  );

  test.each(apps.filter(([name]) => name !== "migrate"))(
    "%s listens where its port is published and its health is asked",
    (name, service) => {
      const setting = settingsOf(name).find((each) => /^(\w+_)?PORT$/.test(each.name));
      expect(service.ports).toEqual([
        `127.0.0.1:\${${setting?.name}:-${setting?.fallback}}:${setting?.fallback}`,
      ]);
      expect(environmentOf(name).HOST).toBe("0.0.0.0");
      // The query API asks for a key at every path but one.
      const path = name === "stream-processor" ? "ready" : "health";
      expect(service.healthcheck?.test.at(-1)).toContain(`http://127.0.0.1:${setting?.fallback}/${path}`);
    },
  );

  test.each(apps)("%s has longer to stop than it takes at most", (_, service) => {
    const appLimitMs = Number(
      /STOP_TIMEOUT_MS = ([\d_]+)/.exec(read("packages/runtime/src/lifecycle.ts"))?.[1]?.replaceAll("_", ""),
    );
    expect(appLimitMs).toBeGreaterThan(0);
    expect(Number.parseInt(service.stop_grace_period ?? "", 10) * 1_000).toBeGreaterThan(appLimitMs);
  });

  function settingsOf(service: string) {
    return appSettings[service === "migrate" ? "timespan" : service] ?? [];
  }
});

describe("variables", () => {
  const used = new Map([...text.matchAll(VARIABLE)].map(([, name = "", fallback]) => [name, fallback]));

  test("each that is used stands in .env.example", () => {
    const example = environmentExample();
    for (const name of used.keys()) expect(example).toMatch(new RegExp(`^# ${name}=`, "m"));
  });

  test("each has a default, so that nothing has to be set", () => {
    for (const fallback of used.values()) expect(fallback).toBeDefined();
  });

  test("the documented defaults are those of the file, and each documented one is used", () => {
    for (const { name, fallback } of composeSettings)
      expect([name, used.get(name)]).toEqual([name, fallback]);
  });
});

describe("what others rely on", () => {
  test("the database is the one that local-stack connects to", () => {
    const source = read("packages/local-stack/src/docker.ts");
    expect(source).toContain(`postgres://timespan:\${password}@\${LOOPBACK}:\${ports.postgres}/timespan`);
    expect(environmentOf("timescaledb")).toMatchObject({
      POSTGRES_USER: "timespan",
      POSTGRES_DB: "timespan",
      POSTGRES_PASSWORD: `\${POSTGRES_PASSWORD:-timespan}`,
    });
  });

  test.each([
    ["timescaledb", "POSTGRES_PORT"],
    ["kafka", "KAFKA_PORT"],
    ["redis", "REDIS_PORT"],
    ["query-api", "PORT"],
    ["error-stream", "ERROR_STREAM_PORT"],
    ["stream-processor", "STREAM_PROCESSOR_PORT"],
  ])("%s is published on %s with the default of the local stack", (name, variable) => {
    const fallback = appSettings.timespan?.find((setting) => setting.name === variable)?.fallback;
    expect(compose.services[name]?.ports?.[0]).toStartWith(`127.0.0.1:\${${variable}:-${fallback}}:`);
  });

  test("Kafka tells clients on this machine its published address, and containers the inner one", () => {
    const { KAFKA_ADVERTISED_LISTENERS: listeners = "" } = environmentOf("kafka");
    expect(listeners).toContain(`HOST://127.0.0.1:\${KAFKA_PORT:-9092}`);
    expect(listeners).toContain(`INTERNAL://${environmentOf("stream-processor").KAFKA_BROKERS}`);
  });

  test("Kafka is set up as the local one: what is refused here is refused there", () => {
    const local = new Map(
      read("packages/local-stack/kafka/server.properties")
        .split("\n")
        .filter((line) => /^[a-z]/.test(line))
        .map((line) => line.split("=") as [string, string]),
    );
    for (const key of [
      "auto.create.topics.enable",
      "message.max.bytes",
      "replica.fetch.max.bytes",
      "log.retention.hours",
      "log.retention.bytes",
    ]) {
      const variable = `KAFKA_${key.toUpperCase().replaceAll(".", "_")}`;
      expect([key, withDefaults(environmentOf("kafka")[variable] ?? "")]).toEqual([
        key,
        local.get(key) ?? "",
      ]);
    }
  });

  test("TimescaleDB is the Community edition, 2.28 or newer, and sends no telemetry", () => {
    const [, major, minor] =
      /^timescale\/timescaledb:(\d+)\.(\d+)\.\d+-pg1[5-8]$/.exec(compose.services.timescaledb?.image ?? "") ??
      [];
    expect(Number(major) * 1_000 + Number(minor)).toBeGreaterThanOrEqual(2_028);
    expect(compose.services.timescaledb?.command).toContain("--timescaledb.telemetry_level=off");
  });
});

describe("Dockerfile", () => {
  const dockerfile = read("Dockerfile");

  test("its Bun is the version that package.json names", () => {
    const tags = [...dockerfile.matchAll(/^FROM oven\/bun:(\S+)/gm)].map(([, tag]) => tag);
    expect(tags).toEqual([`${packageJson.packageManager.replace("bun@", "")}-slim`]);
  });

  test("the last stage runs as another user than root", () => {
    const lastStage = dockerfile.split(/^FROM /m).at(-1) ?? "";
    expect(lastStage).toMatch(/^USER bun$/m);
  });
});
