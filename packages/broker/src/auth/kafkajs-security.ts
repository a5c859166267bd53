import type { KafkaConfig, SASLOptions } from "kafkajs";
import type { BrokerSecurity, KafkaLogin } from "../kafka-settings.ts";
import { bearerLogin } from "./bearer-login.ts";

type AwsLogin = Extract<KafkaLogin, { mechanism: "aws" }>;
type TokenSource = () => Promise<string>;

/**
 * What kafkajs wants to know of TLS and of the login, for each client anew: it keeps state in these objects.
 * @param openTokenSource of MSK IAM; by default this process's own AWS credentials sign
 */
export function kafkajsSecurity(
  { ssl, sasl }: BrokerSecurity,
  openTokenSource: (login: AwsLogin) => Promise<TokenSource> = openMskIamTokens,
): Pick<KafkaConfig, "ssl" | "sasl"> {
  return {
    ...(ssl && { ssl: { ...ssl } }),
    ...(sasl && {
      sasl: sasl.mechanism === "aws" ? awsLogin(sasl, openTokenSource) : ({ ...sasl } as SASLOptions),
    }),
  };
}

function awsLogin(login: AwsLogin, open: (login: AwsLogin) => Promise<TokenSource>) {
  let source: Promise<TokenSource> | undefined;
  return bearerLogin(async () => {
    source ??= open(login);
    const createToken = await source;
    return createToken();
  });
}

/** Loads the AWS SDK at the first login that needs it, so that nobody else pays for it. */
async function openMskIamTokens(login: AwsLogin): Promise<TokenSource> {
  const { createMskIamTokens } = await import("./msk-iam-token.ts");
  return createMskIamTokens(login);
}
