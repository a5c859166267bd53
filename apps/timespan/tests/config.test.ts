import { expect, test } from "bun:test";
import { appEnvironment } from "../src/apps.ts";
import { readConfig } from "../src/config.ts";

test("an empty environment gives the documented ports, loopback, and nothing as given", () => {
  const config = readConfig({});
  expect(config.ports).toEqual({ postgres: 5433, kafka: 9092, redis: 6380 });
  expect(config.appPorts).toEqual({ queryApi: 3001, errorStream: 3010, streamProcessor: 3002 });
  expect(config.host).toBe("127.0.0.1");
  expect(config.given).toEqual({ databaseUrl: undefined, kafka: undefined, redis: undefined });
  expect(config.home).toEndWith("/.timespan");
});

test("REDIS_PORT is that of REDIS_HOST when there is one, and of a Redis to start otherwise", () => {
  expect(readConfig({ REDIS_HOST: "cache" }).given.redis).toEqual({ host: "cache", port: 6379 });
  expect(readConfig({ REDIS_HOST: "cache", REDIS_PORT: "7000" }).given.redis?.port).toBe(7000);
  expect(readConfig({ REDIS_PORT: "7000" })).toMatchObject({
    given: { redis: undefined },
    ports: { redis: 7000 },
  });
});

test("all problems are told together", () => {
  const read = () => readConfig({ POSTGRES_PORT: "many", KAFKA_PORT: "70000", DATABASE_URL: "nowhere" });
  expect(read).toThrow("3 problem(s)");
  for (const name of ["POSTGRES_PORT", "KAFKA_PORT", "DATABASE_URL"]) expect(read).toThrow(name);
});

test("apps find the stack's addresses, and no cache when the stack has none", () => {
  const config = readConfig({ REDIS_PORT: "7000", PORT: "4001", PATH: "/bin" });
  const environment = appEnvironment(config, { DATABASE_URL: "postgres://here", KAFKA_BROKERS: "b:1" });
  expect(environment).toMatchObject({
    PATH: "/bin",
    DATABASE_URL: "postgres://here",
    KAFKA_BROKERS: "b:1",
    PORT: "4001",
    STREAM_PROCESSOR_PORT: "3002",
  });
  expect(environment.REDIS_PORT).toBeUndefined();
});
