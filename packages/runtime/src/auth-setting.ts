import { z } from "zod";

/** `AUTH`: whether callers need an API key. */
export const authSetting = z
  .enum(["required", "off"])
  .optional()
  .describe(
    "Whether every request but `/health` needs an API key. By default it does not where HOST is a loopback address, and does everywhere else.",
  )
  .meta({ defaultText: "by `HOST`" });

/** What is said at the start where anybody may ask. */
export const AUTH_OFF_WARNING =
  "AUTH is off and HOST is no loopback address: whoever reaches this port can read everything";

/** Whether keys are needed, where `AUTH` may leave it to the address that is listened on. */
export function isAuthRequired(auth: z.output<typeof authSetting>, host: string): boolean {
  return auth === undefined ? !isLoopback(host) : auth === "required";
}

/** Whether only programs on this machine can connect. A name other than localhost may lead anywhere. */
export function isLoopback(host: string): boolean {
  const name = host.replace(/^\[(.*)\]$/, "$1").toLowerCase();
  return name === "localhost" || name === "::1" || /^127(\.\d{1,3}){3}$/.test(name);
}
