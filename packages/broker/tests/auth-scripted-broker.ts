import type { KafkaConfig, Logger } from "kafkajs";

/** How a broker answers a message of a login: with its next message, or by ending the login with an error. */
export type Answer = (said: string) => string | Error;

/**
 * Logs in `times` times as kafkajs does, against a broker that is played.
 * @returns what the client said
 */
export async function logIn(
  sasl: KafkaConfig["sasl"],
  times = 1,
  answer: Answer = () => "",
  logged: string[] = [],
): Promise<string[]> {
  if (sasl === undefined || !("authenticationProvider" in sasl)) throw new Error("not a login of ours");
  const said: string[] = [];
  const log = (message: string, fields?: object) => {
    logged.push(`${message} ${JSON.stringify(fields)}`);
  };
  const logger: Logger = {
    ...{ error: log, warn: log, info: log, debug: log },
    namespace: () => logger,
    setLogLevel: () => {},
  };
  for (let time = 0; time < times; time++) {
    await sasl
      .authenticationProvider({
        host: "broker",
        port: 9098,
        logger,
        async saslAuthenticate({ request, response }) {
          const bytes = await request.encode();
          if (bytes.readInt32BE() !== bytes.length - 4) throw new Error("the size does not fit the bytes");
          said.push(bytes.toString("utf8", 4));
          const answered = answer(bytes.toString("utf8", 4));
          if (answered instanceof Error) throw answered;
          const size = Buffer.alloc(4);
          size.writeInt32BE(Buffer.byteLength(answered));
          return response?.parse(await response.decode(Buffer.concat([size, Buffer.from(answered)])));
        },
      })
      .authenticate();
  }
  return said;
}
