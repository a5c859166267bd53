import { describe, expect, test } from "bun:test";
import { createHash, createHmac } from "node:crypto";
import { Sha256 } from "@smithy/core/checksum";
import { getSigningKey } from "@smithy/signature-v4";
import { type AwsCredentials, createMskIamTokens, signMskIamToken } from "../src/auth/msk-iam-token.ts";

/** Of AWS's own examples. */
const EXAMPLE_KEY_ID = "AKIDEXAMPLE";
const EXAMPLE_SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const EMPTY_BODY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const NOW_MS = Date.UTC(2026, 0, 2, 3, 4, 5, 678);

const decode = (token: string) => new URL(Buffer.from(token, "base64url").toString());
const sign = (credentials: Partial<AwsCredentials> = {}, region = "eu-west-1", nowMs = NOW_MS) =>
  signMskIamToken(
    region,
    { accessKeyId: EXAMPLE_KEY_ID, secretAccessKey: EXAMPLE_SECRET, ...credentials },
    nowMs,
  );

describe("Signature Version 4, written here once more from its description, to check tokens as MSK does", () => {
  test("derives the keys that AWS publishes, as does the library", async () => {
    for (const [date, key] of [
      ["20120215", "f4780e2d9f65fa895f9c67b32ce1baf0b0d8a43505a000a1a9e090d414db404d"],
      ["20150830", "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9"],
    ] as const) {
      expect(signingKey(EXAMPLE_SECRET, date, "us-east-1", "iam").toString("hex")).toBe(key);
      const credentials = { accessKeyId: EXAMPLE_KEY_ID, secretAccessKey: EXAMPLE_SECRET };
      const derived = await getSigningKey(Sha256, credentials, date, "us-east-1", "iam");
      expect(Buffer.from(derived).toString("hex")).toBe(key);
    }
  });

  test("gives the signature of the presigned URL in the S3 reference", () => {
    const url = new URL(
      "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256" +
        "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request" +
        "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host",
    );
    expect(signatureOf(url, "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "UNSIGNED-PAYLOAD")).toBe(
      "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404",
    );
  });

  test("gives the signature of kafka-cluster:Connect in librdkafka's tests", () => {
    const url = new URL(
      "https://hostname/?Action=kafka-cluster%3AConnect&X-Amz-Algorithm=AWS4-HMAC-SHA256" +
        "&X-Amz-Credential=AWS_ACCESS_KEY_ID%2F20100101%2Fus-east-1%2Fkafka-cluster%2Faws4_request" +
        "&X-Amz-Date=20100101T000000Z&X-Amz-Expires=900&X-Amz-SignedHeaders=host",
    );
    expect(signatureOf(url, "AWS_SECRET_ACCESS_KEY")).toBe(
      "d3eeeddfb2c2b76162d583d7499c2364eb9a92b248218e31866659b18997ef44",
    );
  });
});

describe("a token", () => {
  test("is a presigned URL of kafka-cluster:Connect as unpadded base64url, valid for 15 minutes", async () => {
    const token = await sign({ sessionToken: "session/token+with=signs" });
    expect(token).toMatch(/^[\w-]+$/);
    const url = decode(token);
    expect(`${url.origin}${url.pathname}`).toBe("https://kafka.eu-west-1.amazonaws.com/");
    expect(Object.fromEntries(url.searchParams)).toEqual({
      Action: "kafka-cluster:Connect",
      "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
      "X-Amz-Credential": "AKIDEXAMPLE/20260102/eu-west-1/kafka-cluster/aws4_request",
      "X-Amz-Date": "20260102T030405Z",
      "X-Amz-Expires": "900",
      "X-Amz-Security-Token": "session/token+with=signs",
      "X-Amz-Signature": expect.stringMatching(/^[0-9a-f]{64}$/),
      "X-Amz-SignedHeaders": "host",
      "User-Agent": "timespan",
    });
    // A blank as "+" would be another text to MSK than the signed one.
    expect(url.search).not.toContain("+");
  });

  test.each([
    ["eu-west-1", undefined],
    ["us-gov-west-1", "IQoJb3JpZ2luX2VjE//+=="],
    ["cn-north-1", "a b~c*d'e(f)!ü"],
  ])("of %s with session token %p carries the signature that MSK computes", async (region, sessionToken) => {
    const url = decode(await sign({ sessionToken }, region));
    expect(url.searchParams.get("X-Amz-Signature")).toBe(signatureOf(url, EXAMPLE_SECRET));
    expect(signatureOf(url, `${EXAMPLE_SECRET}x`)).not.toBe(signatureOf(url, EXAMPLE_SECRET));
  });

  test("is the same for the same second, and another in the next and for another region", async () => {
    expect(await sign()).toBe(await sign({}, "eu-west-1", NOW_MS + 100));
    expect(await sign()).not.toBe(await sign({}, "eu-west-1", NOW_MS + 1_000));
    expect(await sign()).not.toBe(await sign({}, "eu-west-2"));
  });

  test("ends with its credentials where they end earlier, in whole seconds", async () => {
    const lifetime = async (ms: number) =>
      decode(await sign({ expiration: new Date(NOW_MS + ms) })).searchParams.get("X-Amz-Expires");
    expect(await lifetime(3_600_000)).toBe("900");
    expect(await lifetime(300_900)).toBe("300");
    expect(await lifetime(-5)).toBe("1");
  });

  test("never holds the secret key", async () => {
    expect(decode(await sign()).toString()).not.toContain(encodeURIComponent(EXAMPLE_SECRET));
    expect(decode(await sign()).toString()).not.toContain("wJalrXUtnFEMI");
  });
});

describe("a source of tokens", () => {
  const clock = { nowMs: () => NOW_MS, sleep: async () => {}, every: () => () => {} };
  const login = { region: "eu-west-1", roleSessionName: "timespan" };

  test("signs anew each time, with the credentials of that time", async () => {
    let turn = 0;
    const next = createMskIamTokens(
      login,
      async () => ({ accessKeyId: `KEY${++turn}`, secretAccessKey: "s" }),
      clock,
    );
    const keys = [decode(await next()), decode(await next())].map((url) =>
      url.searchParams.get("X-Amz-Credential"),
    );
    expect(keys).toEqual([
      "KEY1/20260102/eu-west-1/kafka-cluster/aws4_request",
      "KEY2/20260102/eu-west-1/kafka-cluster/aws4_request",
    ]);
  });

  test("asks for new credentials where those remembered end within a minute", async () => {
    const asked: unknown[] = [];
    const ending = (ms: number, accessKeyId: string) => ({
      accessKeyId,
      secretAccessKey: "s",
      expiration: new Date(NOW_MS + ms),
    });
    const next = createMskIamTokens(
      login,
      async (options) => {
        asked.push(options);
        return options?.forceRefresh ? ending(3_600_000, "NEW") : ending(59_000, "OLD");
      },
      clock,
    );
    const url = decode(await next());
    expect(asked).toEqual([undefined, { forceRefresh: true }]);
    expect(url.searchParams.get("X-Amz-Credential")).toStartWith("NEW/");
    expect(url.searchParams.get("X-Amz-Expires")).toBe("900");
  });

  test("finds the credentials of the environment by the AWS SDK's default chain", async () => {
    const child = Bun.spawn(
      [
        process.execPath,
        "-e",
        `const { createMskIamTokens } = await import(${JSON.stringify(new URL("../src/auth/msk-iam-token.ts", import.meta.url).pathname)});
         console.log(await createMskIamTokens({ region: "eu-west-1", roleSessionName: "timespan" })());`,
      ],
      {
        env: {
          AWS_ACCESS_KEY_ID: EXAMPLE_KEY_ID,
          AWS_SECRET_ACCESS_KEY: EXAMPLE_SECRET,
          AWS_SESSION_TOKEN: "session",
        },
        stdin: "ignore",
        stderr: "inherit",
      },
    );
    const url = decode((await new Response(child.stdout).text()).trim());
    expect(url.searchParams.get("X-Amz-Security-Token")).toBe("session");
    expect(url.searchParams.get("X-Amz-Signature")).toBe(signatureOf(url, EXAMPLE_SECRET));
  });
});

function signingKey(secret: string, date: string, region: string, service: string): Buffer {
  return [date, region, service, "aws4_request"].reduce<Buffer>(
    (key, part) => createHmac("sha256", key).update(part).digest(),
    Buffer.from(`AWS4${secret}`),
  );
}

/** The signature of a presigned GET, without what is added to a token after it was signed. */
function signatureOf(url: URL, secret: string, payloadHash = EMPTY_BODY): string {
  const encode = (text: string) =>
    encodeURIComponent(text).replace(
      /[!'()*]/g,
      (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
    );
  const query = [...url.searchParams]
    .filter(([name]) => name !== "X-Amz-Signature" && name !== "User-Agent")
    .map(([name, value]) => `${encode(name)}=${encode(value)}`)
    .sort()
    .join("&");
  const request = `GET\n${url.pathname}\n${query}\nhost:${url.host}\n\nhost\n${payloadHash}`;
  const [, date = "", region = "", service = ""] = url.searchParams.get("X-Amz-Credential")?.split("/") ?? [];
  const toSign = [
    "AWS4-HMAC-SHA256",
    url.searchParams.get("X-Amz-Date"),
    `${date}/${region}/${service}/aws4_request`,
    createHash("sha256").update(request).digest("hex"),
  ].join("\n");
  return createHmac("sha256", signingKey(secret, date, region, service))
    .update(toSign)
    .digest("hex");
}
