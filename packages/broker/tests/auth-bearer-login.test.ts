import { expect, test } from "bun:test";
import { KafkaJSError } from "kafkajs";
import { bearerLogin } from "../src/auth/bearer-login.ts";
import { type Answer, logIn } from "./auth-scripted-broker.ts";

const TOKEN = "hunter2";

/** The error of a login, and what was logged. */
async function failure(createToken: () => Promise<string>, answer?: Answer) {
  const logged: string[] = [];
  const error = await logIn(bearerLogin(createToken), 1, answer, logged).catch((error: unknown) => error);
  if (!(error instanceof KafkaJSError)) throw new Error(`not an error of kafkajs: ${error}`);
  expect(`${Bun.inspect(error)}${logged.join()}`).not.toContain(TOKEN);
  return { error, logged };
}

test("a token that the broker takes in silence is accepted", async () => {
  expect(await logIn(bearerLogin(async () => TOKEN))).toEqual([`n,,\u0001auth=Bearer ${TOKEN}\u0001\u0001`]);
});

test("a broker's status is answered, so that it ends the login with its own error, which is told", async () => {
  const { error, logged } = await failure(
    async () => TOKEN,
    (said) => (said === "\u0001" ? new Error("[1f2e] Access denied") : '{"status":"invalid_token"}'),
  );
  expect(error).toMatchObject({
    name: "KafkaJSNonRetriableError",
    message: "SASL OAUTHBEARER authentication failed: [1f2e] Access denied",
    retriable: false,
  });
  expect(logged).toEqual([`${error.message} {"broker":"broker:9098"}`]);
});

test("a broker that leaves it at a status has refused too", async () => {
  const { error } = await failure(
    async () => TOKEN,
    (said) => (said === "\u0001" ? "" : '{"status":"invalid_token"}'),
  );
  expect(error.message).toBe('SASL OAUTHBEARER authentication failed: {"status":"invalid_token"}');
});

test("a token that cannot be had now is worth another try, and the reason is told", async () => {
  const { error } = await failure(async () => {
    throw new Error("the metadata service does not answer");
  });
  expect(error).toMatchObject({
    message: "SASL OAUTHBEARER: no token: the metadata service does not answer",
    retriable: true,
  });
});
