import { type KafkaConfig, KafkaJSError, type SASLOptions } from "kafkajs";
import type { BrokerSecurity, KafkaLogin } from "../kafka-settings.ts";

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
      sasl: sasl.mechanism === "aws" ? tokenLogin(sasl, openTokenSource) : ({ ...sasl } as SASLOptions),
    }),
  };
}

/** Loads the AWS SDK at the first login that needs it, so that nobody else pays for it. */
async function openMskIamTokens(login: AwsLogin): Promise<TokenSource> {
  const { createMskIamTokens } = await import("./msk-iam-token.ts");
  return createMskIamTokens(login);
}

function tokenLogin(login: AwsLogin, open: (login: AwsLogin) => Promise<TokenSource>): SASLOptions {
  let source: Promise<TokenSource> | undefined;
  return {
    mechanism: "oauthbearer",
    // Asked before each login, and kafkajs repeats that before the session which the broker granted ends.
    async oauthBearerProvider() {
      try {
        source ??= open(login);
        const createToken = await source;
        return { value: await createToken() };
      } catch (error) {
        // Credentials come from services that may be away for a moment: worth another try, as a broker is.
        const reason = error instanceof Error ? error.message : String(error);
        throw new KafkaJSError(`no token for MSK IAM: ${reason}`, { retriable: true });
      }
    },
  };
}
