/** What a person did wrong, in words for them: what it is, and what to do instead. */
export class CommandError extends Error {
  override name = "CommandError";
}
