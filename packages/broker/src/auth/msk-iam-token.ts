import { defaultProvider } from "@aws-sdk/credential-provider-node";
import { Sha256 } from "@smithy/core/checksum";
import { buildQueryString, HttpRequest } from "@smithy/core/protocols";
import { SignatureV4 } from "@smithy/signature-v4";
import { type Clock, systemClock } from "@timespan/runtime/clock";

/** Whose name a token is signed in; `expiration` where the credentials are temporary. */
export interface AwsCredentials {
  accessKeyId: string;
  secretAccessKey: string;
  sessionToken?: string | undefined;
  expiration?: Date | undefined;
}

/** Gives the current credentials; asked to refresh, not those it remembers. */
export type AwsCredentialSource = (options?: { forceRefresh?: boolean }) => Promise<AwsCredentials>;

/** The longest that MSK accepts. */
const TOKEN_LIFETIME_SECONDS = 900;
/** A token that ends earlier gives a session which MSK refuses or kafkajs cannot renew in time. */
const CREDENTIALS_LIFETIME_MS_MIN = 60_000;
/** Tells MSK's logs who signed. */
const USER_AGENT = "timespan";

/**
 * Makes tokens for one region from what the AWS SDK finds by its default chain: environment, shared config, web
 * identity, container, instance. Each call signs a new one, as each login should get the full lifetime.
 * @param roleSessionName of a role assumed by web identity. MSK refuses to renew a session under another name, so it
 * must stay the same when the credentials change.
 */
export function createMskIamTokens(
  { region, roleSessionName }: { region: string; roleSessionName: string },
  credentialSource: AwsCredentialSource = defaultProvider({ roleSessionName, clientConfig: { region } }),
  clock: Clock = systemClock,
): () => Promise<string> {
  return async () => {
    const remembered = await credentialSource();
    const endsMs = remembered.expiration?.getTime() ?? Number.POSITIVE_INFINITY;
    const endsSoon = endsMs - clock.nowMs() < CREDENTIALS_LIFETIME_MS_MIN;
    const credentials = endsSoon ? await credentialSource({ forceRefresh: true }) : remembered;
    return signMskIamToken(region, credentials, clock.nowMs());
  };
}

/**
 * The token of MSK's signed-token mechanism (SASL OAUTHBEARER): a URL presigned by Signature Version 4 for the action
 * `kafka-cluster:Connect`, as unpadded base64url. It is valid for 15 minutes, or as long as the credentials are.
 */
export async function signMskIamToken(
  region: string,
  credentials: AwsCredentials,
  nowMs: number,
): Promise<string> {
  const { accessKeyId, secretAccessKey, sessionToken, expiration } = credentials;
  const signer = new SignatureV4({
    service: "kafka-cluster",
    region,
    credentials: { accessKeyId, secretAccessKey, ...(sessionToken !== undefined && { sessionToken }) },
    sha256: Sha256,
    applyChecksum: false,
  });
  const hostname = `kafka.${region}.amazonaws.com`;
  const request = new HttpRequest({
    method: "GET",
    protocol: "https:",
    hostname,
    path: "/",
    headers: { host: hostname },
    query: { Action: "kafka-cluster:Connect" },
  });
  const secondsLeft =
    expiration === undefined ? Number.POSITIVE_INFINITY : (expiration.getTime() - nowMs) / 1_000;
  const signed = await signer.presign(request, {
    signingDate: new Date(nowMs),
    expiresIn: Math.max(1, Math.floor(Math.min(secondsLeft, TOKEN_LIFETIME_SECONDS))),
  });
  // Not signed: MSK takes it out before it checks the signature.
  const query = buildQueryString({ ...signed.query, "User-Agent": USER_AGENT });
  return Buffer.from(`https://${hostname}/?${query}`).toString("base64url");
}
