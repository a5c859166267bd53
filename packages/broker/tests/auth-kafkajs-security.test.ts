import { expect, test } from "bun:test";
import { kafkajsSecurity } from "../src/auth/kafkajs-security.ts";
import { logIn } from "./auth-scripted-broker.ts";

const AWS = { mechanism: "aws", region: "eu-west-1", roleSessionName: "timespan" } as const;

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

test("MSK IAM opens one source of tokens at the first login and asks it at each", async () => {
  let opened = 0;
  let asked = 0;
  const { sasl } = kafkajsSecurity({ sasl: AWS }, async (login) => {
    expect(login).toEqual(AWS);
    opened++;
    return async () => `token-${++asked}`;
  });
  expect(opened).toBe(0);
  const said = await logIn(sasl, 2);
  expect(said).toEqual([
    "n,,\u0001auth=Bearer token-1\u0001\u0001",
    "n,,\u0001auth=Bearer token-2\u0001\u0001",
  ]);
  expect(opened).toBe(1);
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
