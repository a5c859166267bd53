import { flag, port } from "@timespan/runtime/settings";
import { z } from "zod";

/** Settings of the connection to Redis, to be spread into an app's schema. */
export const redisSettings = {
  REDIS_HOST: z.string().optional().describe("Where Redis is. Nothing is cached where it is not set."),
  REDIS_PORT: port(6379).describe("Port of Redis."),
  REDIS_USERNAME: z.string().optional().describe("User to log in to Redis as."),
  REDIS_PASSWORD: z.string().optional().describe("Password of Redis. No login where it is not set."),
  REDIS_TLS: flag(false).describe("Connect to Redis by TLS."),
  REDIS_REJECT_UNAUTHORIZED: flag(true).describe("Refuse a Redis whose certificate cannot be verified."),
};

export interface RedisConnection {
  host: string;
  port: number;
  username: string | undefined;
  password: string | undefined;
  tls: { rejectUnauthorized: boolean } | undefined;
}

/** The connection that the settings describe; undefined where there is no Redis. */
export function redisConnection(
  given: z.output<z.ZodObject<typeof redisSettings>>,
): RedisConnection | undefined {
  if (given.REDIS_HOST === undefined) return undefined;
  return {
    host: given.REDIS_HOST,
    port: given.REDIS_PORT,
    username: given.REDIS_USERNAME,
    password: given.REDIS_PASSWORD,
    tls: given.REDIS_TLS ? { rejectUnauthorized: given.REDIS_REJECT_UNAUTHORIZED } : undefined,
  };
}
