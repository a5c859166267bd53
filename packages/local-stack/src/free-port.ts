import { createServer } from "node:net";
import { StackError } from "./stack-error.ts";

/** Everything of the local stack listens here and nowhere else. */
export const LOOPBACK = "127.0.0.1";

/** A port number, or "auto" for any that is free now (tests, second stacks). */
export type PortChoice = number | "auto";

/** True when nothing listens on this port of the loopback interface. */
export async function portIsFree(port: number): Promise<boolean> {
  return (await bind(port)) !== undefined;
}

/** A port that nothing listens on at this moment. */
export async function findFreePort(): Promise<number> {
  const port = await bind(0);
  if (port === undefined) throw new Error("the system has no free port on the loopback interface");
  return port;
}

/**
 * The port to use for `server`.
 * @throws {StackError} when the wanted port is taken; it names `variable`, which changes it
 */
export async function choosePort(wanted: PortChoice, server: string, variable: string): Promise<number> {
  if (wanted === "auto" || wanted === 0) return findFreePort();
  if (await portIsFree(wanted)) return wanted;
  throw portTaken(wanted, server, variable);
}

export function portTaken(port: number, server: string, variable: string): StackError {
  return new StackError(
    `Port ${port} on ${LOOPBACK} is taken, so ${server} cannot listen there.`,
    `Stop the program that listens on it, or set ${variable} to a free port.`,
  );
}

function bind(port: number): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "EADDRINUSE" || error.code === "EACCES") resolve(undefined);
      else reject(error);
    });
    server.listen({ host: LOOPBACK, port, exclusive: true }, () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address ? address.port : undefined));
    });
  });
}
