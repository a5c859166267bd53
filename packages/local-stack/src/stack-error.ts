/** The local stack cannot start: `what` is wrong, and `remedy` is what a person can do about it. */
export class StackError extends Error {
  override name = "StackError";
  constructor(
    readonly what: string,
    readonly remedy: string,
    options?: ErrorOptions,
  ) {
    super(`${what}\n${remedy}`, options);
  }
}

/** The start was called off (Ctrl-C while starting); everything started so far has been stopped. */
export class StackStartAborted extends Error {
  override name = "StackStartAborted";
  constructor() {
    super("The start was interrupted.");
  }
}

/** Several problems as one error, so that a person can mend them in one go. */
export function joinStackErrors(errors: readonly StackError[]): StackError | undefined {
  const [first, ...others] = errors;
  if (first === undefined || others.length === 0) return first;
  return new StackError(
    errors.map((error) => error.what).join("\n"),
    errors.map((error) => error.remedy).join("\n"),
  );
}
