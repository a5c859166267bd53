import { describe, expect, test } from "bun:test";
import { KafkaJSError } from "kafkajs";
import { kafkajsSecurity } from "../src/auth/kafkajs-security.ts";

const AWS = { mechanism: "aws", region: "eu-west-1", roleSessionName: "timespan" } as const;

/** What kafkajs would call before it logs in. */
function providerOf(security: ReturnType<typeof kafkajsSecurity>): () => Promise<{ value: string }> {
  const { sasl } = security;
  if (sasl === undefined || !("oauthBearerProvider" in sasl)) throw new Error("no login by token");
  return sasl.oauthBearerProvider;
}

test("nothing is asked of a broker that asks nothing", () => {
  expect(kafkajsSecurity({})).toEqual({});
});

test("TLS and a login by password are passed on as copies, since kafkajs writes into them", () => {
  const connection = {
    ssl: { rejectUnauthorized: true, ca: "PEM" },
    sasl: { mechanism: "scram-sha-512", username: "u", password: "p" },
  } as const;
  const security = kafkajsSecurity(connection);
  expect(security).toEqual(connection);
  expect(security.ssl).not.toBe(connection.ssl);
  expect(security.sasl as unknown).not.toBe(connection.sasl);
});

describe("MSK IAM", () => {
  test("opens one source of tokens and asks it at each login", async () => {
    let opened = 0;
    let asked = 0;
    const provider = providerOf(
      kafkajsSecurity({ sasl: AWS }, async (login) => {
        expect(login).toEqual(AWS);
        opened++;
        return async () => `token ${++asked}`;
      }),
    );
    expect(await provider()).toEqual({ value: "token 1" });
    expect(await provider()).toEqual({ value: "token 2" });
    expect(opened).toBe(1);
  });

  test("credentials that cannot be had now are worth another try, and the reason is told", async () => {
    const provider = providerOf(
      kafkajsSecurity({ sasl: AWS }, async () => async () => {
        throw new Error("the metadata service does not answer");
      }),
    );
    const error = await provider().catch((error: unknown) => error);
    expect(error).toBeInstanceOf(KafkaJSError);
    expect(error).toMatchObject({
      message: "no token for MSK IAM: the metadata service does not answer",
      retriable: true,
    });
  });
});

test("who does not log in by MSK IAM does not load the AWS SDK", async () => {
  const child = Bun.spawn(
    [
      process.execPath,
      "-e",
      `const { kafkajsSecurity } = await import(${JSON.stringify(new URL("../src/auth/kafkajs-security.ts", import.meta.url).pathname)});
       kafkajsSecurity({ sasl: { mechanism: "aws", region: "eu-west-1", roleSessionName: "timespan" } });
       console.log(Object.keys(require.cache).filter((path) => /@aws-sdk|@smithy/.test(path)).length, Object.keys(require.cache).length > 10);`,
    ],
    { stdin: "ignore", stderr: "inherit" },
  );
  expect((await new Response(child.stdout).text()).trim()).toBe("0 true");
});
