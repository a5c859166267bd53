import type { Logger } from "@timespan/runtime/logger";

export interface ListenOptions {
  hostname: string;
  /** 0 for any free one. */
  port: number;
  logger: Logger;
}

/** A server that listens. */
export interface Listener {
  readonly port: number;
  /** Stops listening and drops what is still connected. */
  stop(): Promise<void> | void;
}
