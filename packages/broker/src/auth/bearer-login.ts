import { KafkaJSError, KafkaJSNonRetriableError, type Mechanism } from "kafkajs";

/** RFC 7628, 3.1: parts of the client's message stand between these. */
const SEPARATOR = "\u0001";

/**
 * A login by SASL OAUTHBEARER (RFC 7628). kafkajs has its own, which does not look at what the broker answers to the
 * token: a refused one passes for accepted, and the reason is lost when the next request fails.
 * @param createToken asked before each login; kafkajs repeats that before the session which the broker granted ends
 */
export function bearerLogin(createToken: () => Promise<string>): Mechanism {
  return {
    mechanism: "oauthbearer",
    authenticationProvider: ({ host, port, logger, saslAuthenticate }) => ({
      async authenticate() {
        const token = await createToken().catch((error: unknown) => {
          // Credentials come from services that may be away for a moment: worth another try, as a broker is.
          throw new KafkaJSError(`SASL OAUTHBEARER: no token: ${reasonOf(error)}`, { retriable: true });
        });
        const say = (text: string) =>
          saslAuthenticate({
            request: { encode: () => sized(text) },
            response: { decode: unsized, parse: String },
          });
        try {
          const refusal = await say(`n,,${SEPARATOR}auth=Bearer ${token}${SEPARATOR}${SEPARATOR}`);
          if (!refusal) return;
          // 3.2.3: the broker told a status and waits for this, to end the login with its own error.
          await say(SEPARATOR);
          throw new Error(refusal);
        } catch (error) {
          const failure = new KafkaJSNonRetriableError(
            `SASL OAUTHBEARER authentication failed: ${reasonOf(error)}`,
          );
          logger.error(failure.message, { broker: `${host}:${port}` });
          throw failure;
        }
      },
    }),
  };
}

/** Bytes as Kafka's protocol writes them, after their number. */
function sized(text: string): Buffer {
  const bytes = Buffer.from(text);
  const size = Buffer.alloc(4);
  size.writeInt32BE(bytes.length);
  return Buffer.concat([size, bytes]);
}

function unsized(bytes: Buffer): Buffer {
  return bytes.subarray(4);
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
